"""`facsimile release`: publish the faces that the filter accepted as a dataset."""

import json
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from facsimile.datasets import ADAPTERS, READERS, recognise
from facsimile.datasets.terms import OWN, RENDERED, Terms
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.origins import ORIGINS, generated_origins
from facsimile.faces.tables import column_names, read_faces, shard_paths
from facsimile.measurement import count_aus
from facsimile.pretraining import TrainingOptions
from facsimile.release import (
    Licence,
    Release,
    Signer,
    SourceDataset,
    StageFacts,
    find_licence,
    write_release,
)
from facsimile.report import Evidence
from flows import dvc
from flows.face_lineage import planned_intensities
from flows.graph import needed_by, read_graph
from flows.mlflow_runs import revision_of
from flows.tracking import find_run
from flows.versions import published_version
from tasks.params import PARAMS, IngestParams, read_params, read_section
from tasks.provenance.dvc_files import locked_hashes, locked_params, locked_stages
from tasks.provenance.git import Revision
from tasks.shared.artefacts import DATA, FILTER, GENERATOR, INGEST
from tasks.shared.stage import progress

if TYPE_CHECKING:
    from mlflow.entities import Run

FACES = FILTER / "faces"
EVALUATE = DATA / "evaluate"
IMPORTED = Terms(
    "imported generator: its terms and those of its training images apply",
    None,
    licence=None,
    publishable=False,
    people=True,
)


def release(
    root: Path,
    out: Path,
    *,
    name: str | None,
    licence: str | None,
    permitted: list[str],
    synthetic_only: bool,
    certificate: Path | None,
    private_key: Path | None,
    overwrite: bool,
) -> str:
    """Write a release; see `facsimile release --help`.

    Returns:
        A summary of what was written, with a warning if stages are stale.

    Raises:
        FacsimileError: `root` has no accepted faces; the terms of a source forbid publication;
            `out` exists; certificate or key cannot be used.
    """
    if (certificate is None) != (private_key is None):
        raise FacsimileError("signing needs both --certificate and --private-key; give both")
    signer = Signer(certificate, private_key) if certificate else None
    out = out.resolve()
    graph = read_graph(root)
    stages = needed_by(graph, ["filter"])
    stale = _stale(root, [*stages, "train", "evaluate"])
    facts = tuple(_facts(root, stages))
    version = None if stale else published_version(root)
    with chdir(root):
        if not FACES.exists():
            raise FacsimileError(f"{FACES}: no accepted faces yet; run `facsimile run filter`")
        columns = [n for n in column_names(shard_paths(FACES)[0]) if n not in ("image", "z")]
        faces = read_faces(FACES, columns)
        origins = [
            name
            for name, origin in generated_origins().items()
            if not (synthetic_only and origin.from_dataset)
        ]
        faces = faces[faces["origin"].isin(origins)]
        sources = _sources(faces, permitted)
        described = Release(
            name=name or out.name,
            licence=_licence(licence, sources),
            sources=sources,
            evidence=_evidence(measured=not synthetic_only and not stale),
            stages=facts,
            stale={stage: why for stage, why in stale.items() if stage in stages},
            version=version.name if version else "",
            version_commit=version.commit if version else "",
        )
        with progress("release", len(faces)) as advance:
            count = write_release(
                out,
                FACES,
                described,
                origins=origins,
                edits=planned_intensities(faces),
                signer=signer,
                overwrite=overwrite,
                advance=advance,
            )
    line = f"{out}: {count:,} faces, {described.licence.name}{', signed' if signer else ''}"
    if version:
        line += f", {version.name}"
    if stale:
        line += f"\nstale stages: {', '.join(stale)}; the card says so and omits all measurements"
    return line


def _sources(faces: pd.DataFrame, permitted: list[str]) -> tuple[SourceDataset, ...]:
    """Datasets that the faces derive from, with how each was used and its terms.

    Raises:
        FacsimileError: a dataset that faces were edited from needs --permitted, or --permitted
            names a dataset that no face was edited from.
    """
    sections = read_params(PARAMS)
    datasets, ingest = sections["datasets"], sections["ingest"]
    datasets_by_origin = faces.groupby("origin")["dataset"].unique()
    edited = {
        name
        for origin in datasets_by_origin.index
        if ORIGINS[origin].from_dataset
        for name in datasets_by_origin[origin]
    }
    uses: dict[str, list[str]] = {dataset: ["faces edited"] for dataset in sorted(edited)}
    if not all(ORIGINS[origin].keeps_identity for origin in datasets_by_origin.index):
        uses.setdefault(datasets.attributes, []).append("expressions transferred to its people")
    edited_sources = sorted(uses)
    uses.setdefault(datasets.aus, []).append("models of Action Units fitted")
    uses.setdefault(datasets.attributes, []).append("models of attributes fitted")
    terms = {dataset: terms_of(dataset, ingest) for dataset in uses}
    generator, generator_terms = _generator()
    uses.setdefault(generator, []).append("generator trained")
    terms.setdefault(generator, generator_terms)

    for dataset in permitted:
        if dataset not in edited_sources:
            names = ", ".join(edited_sources) or "none"
            raise FacsimileError(
                f"--permitted {dataset}: no face is edited from it, only from {names}"
            )
    for dataset in edited_sources:
        if not terms[dataset].publishable and dataset not in permitted:
            raise FacsimileError(
                f"faces are edited from {dataset}: {terms[dataset].summary}. If its terms allow "
                f"you to publish them, add --permitted {dataset}; otherwise omit edited faces "
                "with --synthetic-only"
            )
    return tuple(
        SourceDataset(dataset, tuple(dataset_uses), terms[dataset], permitted=dataset in permitted)
        for dataset, dataset_uses in uses.items()
    )


def terms_of(dataset: str, ingest: IngestParams) -> Terms:
    """Terms of use of a dataset in a project."""
    if dataset in READERS:
        return RENDERED
    source = ingest.paths.get(dataset)
    if source is None:
        return OWN
    try:
        return ADAPTERS[source.adapter or recognise(source.root)].terms
    except FacsimileError:  # the files are gone and params.yaml names no adapter
        return OWN


def _generator() -> tuple[str, Terms]:
    """Training dataset of the generator and its terms; unknown for an imported generator."""
    path = GENERATOR / "metrics.json"
    if path.exists() and "images_seen" in json.loads(path.read_text()):
        dataset = read_section(PARAMS, "generator", TrainingOptions).dataset
        return dataset, terms_of(dataset, read_params(PARAMS)["ingest"])
    return "training images of the generator", IMPORTED


def _licence(text: str | None, sources: tuple[SourceDataset, ...]) -> Licence:
    """The licence given by `text`, or the common licence of all sources."""
    if text:
        return find_licence(text)
    licences = {source.terms.licence for source in sources}
    if len(licences) == 1 and None not in licences:
        return find_licence(licences.pop())
    terms = "; ".join(f"{source.name}: {source.terms.summary}" for source in sources)
    raise FacsimileError(f"--license: the sources differ; choose one they all allow ({terms})")


def _evidence(measured: bool) -> Evidence:
    """AU counts of real training faces and, if `measured`, the results of the evaluation."""
    aus = read_params(PARAMS)["datasets"].aus
    evidence = Evidence({})
    if measured and (EVALUATE / "metrics.json").exists():
        evidence = Evidence.read(EVALUATE)
    tables = dict(evidence.tables)
    tables.pop("au_counts", None)
    if (INGEST / aus).exists():
        real = read_faces(INGEST / aus, ["split", "origin", *AUS])
        tables["au_counts"] = count_aus(real[real["split"] == "train"])
    return Evidence(evidence.metrics, tables)


def _stale(root: Path, stages: list[str]) -> dict[str, list[str]]:
    """The stages that DVC finds stale, with reasons; empty if DVC was not used."""
    if not (root / ".dvc").exists() or not (root / "dvc.lock").exists():
        return {}
    found = dvc.stale_stages(root)
    return {stage: found[stage] for stage in stages if stage in found}


def _facts(root: Path, stages: list[str]) -> list[StageFacts]:
    locked = locked_stages(root)
    facts = []
    for stage in stages:
        if stage not in locked:
            continue
        run = find_run(root, stage, locked[stage])
        params = locked_params(locked[stage])
        facts.append(
            StageFacts(
                stage,
                locked[stage]["cmd"],
                # Paths on the user's machine are not published.
                {key: value for key, value in params.items() if "ingest.paths" not in key},
                locked_hashes(locked[stage], "deps"),
                locked_hashes(locked[stage], "outs"),
                run.info.run_id if run else None,
                _revision(run),
            )
        )
    return facts


def _revision(run: "Run | None") -> str | None:
    """Code revision of an MLflow run; None if unknown."""
    revision = revision_of(run) if run else Revision()
    return str(revision) if revision.commit else None
