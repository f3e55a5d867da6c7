"""Lineage of one face: trace its provenance, and rebuild it from its inputs.

Reads the outputs of the stages. Paths are relative to the current folder, which must be the
project.
"""

import difflib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from facsimile.datasets import ADAPTERS, Rejects, recognise
from facsimile.describing import DescribedFacesOperator, Describer, plan_described
from facsimile.describing.describer import WEIGHTS as DESCRIBER_WEIGHTS
from facsimile.digests import file_md5
from facsimile.editing import (
    EditOperator,
    Neutralizer,
    editor_file,
    load_editor,
    plan_edits,
    plan_transfers,
)
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.origins import (
    DESCRIBED,
    EDITED,
    ORIGINS,
    REAL,
    SYNTHETIC,
    TRANSFERRED,
    generated_origins,
)
from facsimile.faces.tables import decode_images, read_table, shard_paths
from facsimile.generator import WEIGHTS_FILE, Codes, Generator, NoiseModel
from facsimile.language import understand
from facsimile.synthesis import IdentityOperator
from tasks.helpers.codes import read_editable
from tasks.helpers.edit_plan import plan_real_edits
from tasks.helpers.editable import editable_aus
from tasks.helpers.generator_loading import load_generator
from tasks.params import (
    PARAMS,
    DatasetsParams,
    DescribeParams,
    EditParams,
    IngestParams,
    SamplingParams,
    SourceParams,
    SynthesizeParams,
    TransferParams,
    read_section,
)
from tasks.shared.artefacts import (
    DESCRIBER,
    EDITOR,
    ENCODE,
    FILTER,
    GENERATOR,
    INGEST,
    NEUTRAL,
    NEUTRALIZER_FILE,
    SYNTHESIZE,
)
from tasks.shared.stage import DATA, Compute
from tasks.sources import changes
from tasks.transfer import encoded_people, load_operator

IDENTITY = "identity"
"""Kind of the neutral face of a synthetic person; other kinds are origins."""

REBUILT = (EDITED, TRANSFERRED, SYNTHETIC, DESCRIBED)
"""Origins whose faces can be planned and rebuilt."""

GENERATOR_FILE = GENERATOR / WEIGHTS_FILE

TOLERANCE = 1
"""Maximum pixel difference, of 255, between equal images: floats depend on machine and batch."""


@dataclass(frozen=True)
class Lineage:
    """A face and its provenance.

    Attributes:
        kind: key of ``ORIGINS``, or ``IDENTITY``.
        face: its row in ``FACE_SCHEMA``, ``GENERATED_SCHEMA`` or ``IDENTITY_SCHEMA``.
        source: the face it was generated from; None for real faces, identities and described faces.
        latents: row of an encoded real face in ``LATENT_SCHEMA``, or in ``NEUTRAL_SCHEMA`` if it
            was neutralized; else None.
        decision: row of the filter's decisions; None if the face was not filtered.
        labels: AU labels of an accepted face after filtering; else None.
    """

    kind: str
    face: pd.Series
    source: "Lineage | None"
    latents: pd.Series | None
    decision: pd.Series | None
    labels: pd.Series | None

    @property
    def sample_id(self) -> str:
        return self.face["sample_id"]

    @property
    def stage(self) -> str:
        """Name of the stage that wrote the face."""
        return ORIGINS[SYNTHETIC if self.kind == IDENTITY else self.kind].stage

    @property
    def label(self) -> str:
        """Name of the face in text, such as ``edited face``."""
        return self.kind if self.kind == IDENTITY else ORIGINS[self.kind].label


@dataclass(frozen=True)
class Rebuilt:
    """A rebuilt face compared with the stored one.

    Attributes:
        difference: largest absolute pixel difference, of 255; None if it was not rebuilt because
            an input has changed.
        changed: inputs that have changed since the face was generated.
    """

    difference: int | None
    changed: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the images differ by no more than ``TOLERANCE``."""
        return self.difference is not None and self.difference <= TOLERANCE


def trace(sample_id: str) -> Lineage:
    """Look up a face and its provenance.

    Raises:
        FacsimileError: no face has this id; the message lists similar ids.
    """
    found = ((path, kind, _row(path, sample_id)) for path, kind in _tables())
    path, kind, face = next((entry for entry in found if entry[2] is not None), (None, None, None))
    if face is None:
        raise FacsimileError(_unknown(sample_id))
    is_generated = kind not in (REAL, IDENTITY)
    accepted = _row(FILTER / "faces", sample_id) if is_generated else None
    return Lineage(
        kind,
        face,
        # The person of a described face is in the identity bank, which has no pictures.
        source=trace(face["source_id"]) if is_generated and kind != DESCRIBED else None,
        latents=_latents(path.name, sample_id) if kind == REAL else None,
        decision=_row(FILTER / "decisions.parquet", sample_id) if is_generated else None,
        labels=None if accepted is None else accepted[list(AUS)],
    )


@dataclass(frozen=True)
class SourceFiles:
    """The user files that a real face was read from.

    Attributes:
        root: path of the dataset in params.yaml.
        place: image and line of the face; empty if they are no longer found.
        change: how the dataset has changed since it was ingested; empty if it has not.
    """

    root: Path
    place: str
    change: str


def source_files(face: pd.Series) -> SourceFiles | None:
    """The user files a real face was read from; None if params.yaml has no path for its dataset.

    Raises:
        FacsimileError: a section of params.yaml is invalid.
    """
    ingest = read_section(PARAMS, "ingest", IngestParams)
    name = face["dataset"]
    if name not in ingest.paths:
        return None
    datasets = DatasetsParams(aus=name, attributes=name)
    change = changes(Path(), datasets, ingest).get(name, "")
    source = ingest.paths[name]
    return SourceFiles(source.root, _place(source, name, face["sample_id"]), change)


def _place(source: SourceParams, dataset: str, sample_id: str) -> str:
    """Current place of a face in its dataset, such as ``anna/001.png, faces.csv line 2``."""
    try:
        adapter = ADAPTERS[source.adapter or recognise(source.root)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # already shown when the dataset was ingested
            given = source.model_dump(include=set(adapter.options), exclude_none=True)
            rows = adapter.annotate(source.root, dataset, Rejects("skip"), **given)
    except (FacsimileError, OSError):
        return ""  # the error is covered by the description of the change
    found = rows[rows["sample_id"] == sample_id]
    if found.empty:
        return ""
    row = found.iloc[0]
    parts = [str(row["image_path"])] if "image_path" in row else []
    line = f" line {int(row['line'])}" if pd.notna(row["line"]) else ""
    return ", ".join(dict.fromkeys([*parts, f"{row['file']}{line}"]))


def find_plan(lineage: Lineage) -> pd.DataFrame | None:
    """The plan row of a face.

    Unlike the stage's output row, it has the intensities of all AUs that were set, including AUs
    entailed by another one.

    Returns:
        A row of `plan_edits`, `plan_transfers` or `plan_described`; None if the face is no longer
        planned, or is planned differently, by params.yaml.

    Raises:
        FacsimileError: a section of params.yaml is invalid.
    """
    if lineage.kind not in REBUILT:
        return None
    if lineage.kind == DESCRIBED:
        plan = _plan_described()
        row = plan[plan["sample_id"] == lineage.sample_id].reset_index(drop=True)
        return row if len(row) and row["seed"].item() == lineage.face["seed"] else None
    source = pd.DataFrame([lineage.source.face])
    if lineage.kind == TRANSFERRED:
        faces, donors = encoded_people(read_section(PARAMS, "datasets", DatasetsParams))
        variants = read_section(PARAMS, "transfer", TransferParams).variants()
        plan = plan_transfers(faces, donors["subject_id"], **variants)
    else:
        plan = _plan_edits(source) if lineage.kind == EDITED else _plan_synthesis(source)
    row = plan[plan["sample_id"] == lineage.sample_id].reset_index(drop=True)
    return row if len(row) and _agree(row, pd.DataFrame([lineage.face])).all() else None


def planned_intensities(faces: pd.DataFrame) -> pd.DataFrame:
    """Planned intensities of all AUs that were set on generated faces (see `find_plan`).

    Args:
        faces: rows with sample_id, source_id, origin and seed; their AUs are not used, because the
            filter corrects them.

    Returns:
        AUs indexed by sample_id, in the order of `faces`; null for transferred faces, and for
        faces that params.yaml no longer plans or plans differently.

    Raises:
        FacsimileError: a section of params.yaml is invalid.
    """
    columns = ["sample_id", "seed", *AUS]
    planners = {EDITED: _plan_edits, SYNTHETIC: _plan_synthesis}
    generated = [read_table(path, columns) for path, kind in _tables() if kind in planners]
    sources = faces[faces["origin"].isin(planners)].drop_duplicates("source_id")
    if not generated or sources.empty:
        return pd.DataFrame(np.float32(np.nan), index=pd.Index(faces["sample_id"]), columns=AUS)
    generated = pd.concat(generated).set_index("sample_id").reindex(faces["sample_id"])
    sources = sources.assign(sample_id=sources["source_id"])
    plans = [
        plan(sources[sources["origin"] == origin])
        for origin, plan in planners.items()
        if (sources["origin"] == origin).any()
    ]
    plan = pd.concat(plans).set_index("sample_id").reindex(faces["sample_id"])
    plan.loc[~_agree(plan, generated), list(AUS)] = np.nan
    return plan[list(AUS)].astype(np.float32)


def entailed_aus(lineage: Lineage) -> tuple[str, ...]:
    """AUs without a label on an edited or synthetic face because another AU entails them."""
    plan = find_plan(lineage)
    if plan is None or lineage.kind not in (EDITED, SYNTHETIC) or not EDITOR.exists():
        return ()
    editor = load_editor(EDITOR)
    set_aus = [au for au in editor.aus if plan.iloc[0][au] > 0]
    entailed = {other for au in set_aus for other in editor.entailed(au)}
    return tuple(au for au in AUS if au in entailed and pd.isna(lineage.face[au]))


def recorded_files(kind: str) -> dict[str, Path]:
    """Column of a generated row → the file whose MD5 it holds.

    Args:
        kind: kind of the face.
    """
    if kind == DESCRIBED:
        editor = DESCRIBER / DESCRIBER_WEIGHTS
    else:
        editor = editor_file(EDITOR) if EDITOR.exists() else EDITOR
    return {"generator_md5": GENERATOR_FILE, "editor_md5": editor}


def changed_files(lineage: Lineage) -> Iterator[str]:
    """Files whose MD5 differs from the one recorded in the row of the face or of its source."""
    for row in [lineage.face, *([lineage.source.face] if lineage.source else [])]:
        for column, path in recorded_files(lineage.kind).items():
            if pd.isna(row[column]):
                continue
            now = file_md5(path) if path.exists() else "absent"
            if now != row[column]:
                yield f"{path} (md5 {row[column]} then, {now} now)"


def rebuild(lineage: Lineage, device: str) -> Rebuilt:
    """Rebuild a generated face with the current artefacts and params.

    An edited face is generated from the latents of its source. A synthetic face starts from the
    sampled code of its identity, which is neutralized again. A described face is planned again.

    Args:
        lineage: lineage of a generated face.
        device: torch device.

    Raises:
        FacsimileError: the face is real, or an artefact is missing or does not fit the others.
    """
    if lineage.kind == REAL:
        raise FacsimileError(
            f"{lineage.sample_id}: a real face cannot be rebuilt; it comes from a dataset"
        )
    if lineage.kind not in (*REBUILT, IDENTITY):
        raise FacsimileError(
            f"{lineage.sample_id}: faces of stage {lineage.stage} cannot be rebuilt"
        )
    changed = list(dict.fromkeys(changed_files(lineage)))
    if lineage.kind != IDENTITY and find_plan(lineage) is None:
        changed.append(f"{PARAMS}, section {lineage.stage}")
    if changed:
        return Rebuilt(None, tuple(changed))

    sampling = read_section(PARAMS, "sampling", SamplingParams)
    generator = load_generator(Compute(device, batch_size=1, workers=1), sampling)
    if lineage.kind == EDITED:
        regenerated = _edit(lineage, generator)
    elif lineage.kind == TRANSFERRED:
        regenerated = _transfer(lineage, generator)
    elif lineage.kind == DESCRIBED:
        regenerated = DescribedFacesOperator(generator, Describer.load(DESCRIBER, device))(
            find_plan(lineage)
        )
    else:
        regenerated = _synthesize(lineage, generator)
    stored, again = decode_images(
        pd.concat([pd.DataFrame([lineage.face]), regenerated]), lineage.sample_id
    ).astype(int)
    return Rebuilt(int(np.abs(stored - again).max()))


def _edit(lineage: Lineage, generator: Generator) -> pd.DataFrame:
    latents = lineage.source.latents
    if latents is None:
        raise FacsimileError(f"{lineage.source.sample_id}: has no latents in {ENCODE} or {NEUTRAL}")
    plan = find_plan(lineage).assign(z=[latents["z"]], x_t=[latents["x_t"]])
    return EditOperator(generator, load_editor(EDITOR))(plan)


def _transfer(lineage: Lineage, generator: Generator) -> pd.DataFrame:
    faces, donors = encoded_people(read_section(PARAMS, "datasets", DatasetsParams))
    source = decode_images(pd.DataFrame([lineage.source.face]), lineage.source.sample_id)
    return load_operator(faces, donors, generator)(find_plan(lineage), source)


def _synthesize(lineage: Lineage, generator: Generator) -> pd.DataFrame:
    """Rebuild an identity, or a face generated from one."""
    dataset = read_section(PARAMS, "datasets", DatasetsParams).aus
    noise = NoiseModel().fit(Codes.from_table(read_editable(dataset, "train")))
    sampled = pd.DataFrame([(lineage.source or lineage).face]).reset_index(drop=True)
    identity = IdentityOperator(generator, Neutralizer.load(NEUTRALIZER_FILE), noise)(sampled)
    if lineage.kind == IDENTITY:
        return identity
    plan = _plan_synthesis(identity)
    plan = plan[plan["sample_id"] == lineage.sample_id].reset_index(drop=True)
    return EditOperator(generator, load_editor(EDITOR), noise)(plan)


def _agree(plan: pd.DataFrame, faces: pd.DataFrame) -> np.ndarray:
    """Whether each of N faces has the planned seed, non-null labels and transfer strength."""
    labels = faces[list(AUS)].to_numpy(np.float32)
    same = (plan[list(AUS)].to_numpy(np.float32) == labels) | np.isnan(labels)
    if "strength" in plan:
        same &= np.isclose(plan[["strength"]], faces[["intensity"]])
    return same.all(axis=1) & (plan["seed"].to_numpy() == faces["seed"].to_numpy())


def _plan_edits(sources: pd.DataFrame) -> pd.DataFrame:
    edit = read_section(PARAMS, "edit", EditParams)
    return plan_real_edits(sources, edit, editable_aus(edit.aus))


def _plan_described() -> pd.DataFrame:
    section = read_section(PARAMS, "describe", DescribeParams)
    prompts = [understand(prompt) for prompt in section.prompts]
    return plan_described(prompts, section.each, Describer.load(DESCRIBER), section.seed)


def _latents(dataset: str, sample_id: str) -> pd.Series | None:
    """Codes from which a face is edited; neutralized if stage `neutral` selected the face."""
    neutral = _row(NEUTRAL / "faces", sample_id)
    return _row(ENCODE / dataset, sample_id) if neutral is None else neutral


def _plan_synthesis(identity: pd.DataFrame) -> pd.DataFrame:
    section = read_section(PARAMS, "synthesize", SynthesizeParams)
    return plan_edits(identity, **section.variants() | {"aus": editable_aus(section.aus)})


def _tables() -> list[tuple[Path, str]]:
    """Existing tables of faces, with the kind of face in each."""
    tables = [
        *((folder, REAL) for folder in sorted(INGEST.glob("*/"))),
        (SYNTHESIZE / "identities", IDENTITY),
        *((DATA / o.stage / "faces", o.name) for o in generated_origins().values()),
    ]
    return [(path, kind) for path, kind in tables if path.exists()]


def _row(path: Path, sample_id: str) -> pd.Series | None:
    """The row of a face in a table; None if the face or the table does not exist."""
    # Reads images and x_T of one shard only, because tables may be larger than memory.
    for file in shard_paths(path) if path.exists() else []:
        match = read_table(file, ["sample_id"])["sample_id"] == sample_id
        if match.any():
            return read_table(file)[match].iloc[0]
    return None


def _unknown(sample_id: str) -> str:
    ids = [name for path, _ in _tables() for name in read_table(path, ["sample_id"])["sample_id"]]
    if not ids:
        return f"{INGEST}: no faces yet; run `facsimile demo`"
    near = difflib.get_close_matches(sample_id, ids)
    hint = f"nearest: {', '.join(near)}" if near else f"ids look like {ids[0]}"
    return f"no face {sample_id!r}; {hint}"
