"""Run edits of many sources by many editors, batch by batch, and show some of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd
import pyarrow as pa

from facsimile.faces.aus import AUS
from facsimile.faces.tables import decode_images, image_structs
from facsimile.paper.edit_fidelity import (
    DEFAULT,
    EXACT,
    IDENTITY,
    READ,
    UNEDITED,
    score_pairs,
)
from facsimile.paper.edit_trials import EditTrials, FaceReader
from facsimile.report.gallery import gallery_rows
from facsimile.report.sheets import active_aus
from tasks.helpers.edit_pairs import EditPairs
from tasks.params import FidelityParams
from tasks.shared.stage import Compute, operate


@dataclass(frozen=True)
class EditBench:
    """Sources, editors and readers of one measurement.

    Attributes:
        faces: sources and targets.
        trials: edits the sources.
        reader: reads the pictures.
        reconstructions: decoded sources, uint8 (P, H, W, 3).
        fidelity: counts and strengths.
    """

    faces: EditPairs
    trials: EditTrials
    reader: FaceReader
    reconstructions: np.ndarray
    fidelity: FidelityParams

    def person(self, source_ids: Sequence[str]) -> np.ndarray:
        """Positions of sources."""
        return pd.Index(self.faces.sources["sample_id"]).get_indexer(source_ids)

    @cached_property
    def single_people(self) -> pd.DataFrame:
        """Sources whose AUs are edited one at a time."""
        return self.faces.sources.head(self.fidelity.single_people)

    @cached_property
    def before_edit(self) -> pd.DataFrame:
        """Readings of the reconstructions of `single_people`."""
        return self.reader.read_all(self.reconstructions[: len(self.single_people)])

    @cached_property
    def in_source(self) -> pd.DataFrame:
        """Readings of the pictures of `single_people`."""
        return self.reader.read_all(self.faces.images(self.single_people))


def try_pairs(bench: EditBench, compute: Compute) -> pd.DataFrame:
    """Edit each source towards its targets with each editor.

    Returns:
        One row per pair and editor: pair_id, subject_id, source_id, n_aus, editor, the columns of
        `score_pairs`, target_mae_labels (error of the readings of the target picture itself), and
        the encoded image of a few, else null. Sorted by editor.
    """
    batches = operate(partial(_try_pairs, bench), bench.faces.pairs, compute, "pairs")
    rows = pd.concat(batches, ignore_index=True)
    order = {name: place for place, name in enumerate(rows["editor"].unique())}
    return rows.sort_values("editor", key=lambda editor: editor.map(order), kind="stable")


def _try_pairs(bench: EditBench, batch: pd.DataFrame) -> pd.DataFrame:
    sources, labels = batch["source_id"], batch[list(AUS)].to_numpy(float)
    targets = bench.faces.images(batch)
    aus, embeddings = bench.reader.read(targets)
    pictures = {UNEDITED: bench.reconstructions[bench.person(sources)]}
    for name in bench.trials.editors:
        pictures[name] = bench.trials.edit(name, sources, labels)
    pictures[IDENTITY] = bench.trials.imitate(sources, targets)

    most = bench.fidelity.most
    shown = (bench.person(sources) < bench.fidelity.examples) & batch["n_aus"].isin(
        [1, (1 + most) // 2, most]
    )
    about = batch[["pair_id", "subject_id", "source_id", "n_aus"]].assign(
        target_mae_labels=np.nanmean(np.abs(aus - labels), axis=1)
    )
    parts = []
    for name, images in pictures.items():
        read, identity = bench.reader.read(images)
        scores = score_pairs(read, aus, labels, identity, embeddings, images, targets)
        kept = _keep(images, about["pair_id"], shown)
        parts.append(about.assign(editor=name, **scores, image=kept))
    return pd.concat(parts)


def _keep(images: np.ndarray, ids: Sequence[str], shown: Sequence[bool]) -> pd.Series:
    """Encoded images where they are shown, else None."""
    kept = pd.Series([None] * len(images), dtype=object)
    rows = np.flatnonzero(shown)
    kept.iloc[rows] = image_structs(images[rows], np.asarray(ids)[rows])
    return kept


def try_singles(bench: EditBench, aus: tuple[str, ...], compute: Compute) -> pd.DataFrame:
    """Edit one AU at a time: by all strengths with the default editor, by 1 with the others.

    Returns:
        One row per source, editor, AU and strength: source_id, editor, edited_au, s, the changes of
        ``READ`` from the reconstruction, exact_<name>, the changes from the source picture to the
        exact target, and the encoded image of the edits by 1 of the first person, else null. Rows
        of the editor ``exact`` hold the exact targets themselves.
    """
    fidelity = bench.fidelity
    strengths = dict.fromkeys(bench.trials.editors, (1.0,)) | {DEFAULT: fidelity.strengths}
    edits = _plan(bench, aus, strengths)
    edited = operate(partial(_edit, bench), edits, compute, "single edits")
    changes = pd.concat(edited, ignore_index=True)
    if bench.faces.single_targets is None:
        return changes
    possible = tuple(s for s in fidelity.strengths if 0 < s <= 1)
    targets = _plan(bench, aus, {EXACT: possible})
    exact = pd.concat(operate(partial(_expose, bench), targets, compute, "single targets"))
    keys = ["source_id", "edited_au", "s"]
    reference = exact[[*keys, *READ]].rename(columns={name: f"exact_{name}" for name in READ})
    return pd.concat([exact, changes.merge(reference, on=keys, how="left")], ignore_index=True)


def _plan(
    bench: EditBench, aus: tuple[str, ...], strengths: dict[str, tuple[float, ...]]
) -> pd.DataFrame:
    rows = [
        (source, editor, au, s)
        for editor, values in strengths.items()
        for source in bench.single_people["sample_id"]
        for au in aus
        for s in values
    ]
    return pd.DataFrame(rows, columns=["source_id", "editor", "edited_au", "s"])


def _edit(bench: EditBench, batch: pd.DataFrame) -> pd.DataFrame:
    levels = np.zeros((len(batch), len(AUS)))
    levels[np.arange(len(batch)), [AUS.index(au) for au in batch["edited_au"]]] = batch["s"]
    parts = []
    for editor, rows in batch.groupby("editor", sort=False):
        images = bench.trials.edit(editor, rows["source_id"], levels[rows.index])
        parts.append(_changes(bench, rows, images, bench.before_edit))
    return pd.concat(parts)


def _expose(bench: EditBench, batch: pd.DataFrame) -> pd.DataFrame:
    images = bench.faces.images(bench.faces.single_targets(batch))
    return _changes(bench, batch, images, bench.in_source)


def _changes(
    bench: EditBench, rows: pd.DataFrame, images: np.ndarray, before: pd.DataFrame
) -> pd.DataFrame:
    people = bench.person(rows["source_id"])
    change = bench.reader.read_all(images) - before.iloc[people].reset_index(drop=True)
    kept = _keep(images, rows["edited_au"], (people == 0) & (rows["s"] == 1.0))
    return pd.concat([rows.reset_index(drop=True), change, kept.rename("image")], axis=1)


def target_sheet(bench: EditBench, pairs: pd.DataFrame) -> list[pa.Table]:
    """Some pairs: source, target, and what each editor makes of the source."""
    targets = bench.faces.pairs.set_index("pair_id")
    sources = bench.faces.sources.set_index("sample_id", drop=False)
    tables = []
    for pair_id, rows in pairs.dropna(subset="image").groupby("pair_id", sort=False):
        pair = targets.loc[[pair_id]]
        source = bench.faces.images(sources.loc[pair["source_id"]])
        edited = decode_images(rows.rename(columns={"editor": "sample_id"})[["sample_id", "image"]])
        columns = ["source", "target", *rows["editor"]]
        number = bench.person(pair["source_id"])[0] + 1
        name = f"person {number}, {pair['n_aus'].iloc[0]} AUs"
        images = np.concatenate([source, bench.faces.images(pair), edited])
        captions = ["", active_aus(pair.iloc[0]), *[""] * len(edited)]
        tables.append(gallery_rows("targets", [name] * len(columns), columns, images, captions))
    return tables


def single_sheet(bench: EditBench, singles: pd.DataFrame) -> list[pa.Table]:
    """Edits of each AU of the first person: one row per editor."""
    rows = singles.dropna(subset="image")
    images = decode_images(rows.rename(columns={"edited_au": "sample_id"})[["sample_id", "image"]])
    return [gallery_rows("single AUs", list(rows["editor"]), list(rows["edited_au"]), images)]
