"""`facsimile lineage`: provenance of one face, and whether a rebuild gives the same image."""

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.text import Text
from rich.tree import Tree

from facsimile.digests import file_md5
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.origins import DESCRIBED, REAL, TRANSFERRED
from facsimile.faces.tables import read_table
from flows import dvc
from flows.face_lineage import (
    IDENTITY,
    Lineage,
    entailed_aus,
    find_plan,
    rebuild,
    recorded_files,
    source_files,
    trace,
)
from flows.graph import needed_by, read_graph
from flows.mlflow_runs import revision_of
from flows.tracking import find_run
from tasks.provenance.dvc_files import locked_hashes, locked_params, locked_stages
from tasks.shared.artefacts import DESCRIBE, ENCODE, NEUTRAL, NEUTRALIZER_FILE
from tasks.shared.machine import find_device


def describe(root: Path, sample_id: str) -> Tree:
    """Full provenance of a face, back to real data, and the stages that produced it.

    Raises:
        FacsimileError: `root` is not a project, or no face has this id.
    """
    graph = read_graph(root)
    with chdir(root):
        lineage = trace(sample_id)
        tree = _face(lineage)
    stages = needed_by(graph, [lineage.stage])
    if lineage.decision is not None:
        stages.append("filter")
    branch = tree.add(Text("stages, as dvc.lock records them", "bold"))
    locked = locked_stages(root)
    for stage in stages:
        if stage in locked:
            branch.add(_stage(root, stage, locked[stage]))
        else:
            branch.add(_entry(stage, "not in dvc.lock: not run through DVC"))
    return tree


def check(root: Path, sample_id: str) -> tuple[bool, str]:
    """Rebuild a face and compare it with the stored image.

    Returns:
        Whether the images are the same, and a line that says so or why not.

    Raises:
        FacsimileError: see `describe`; or the face is real, or an artefact is missing.
    """
    graph = read_graph(root)
    with chdir(root):
        lineage = trace(sample_id)
        rebuilt = rebuild(lineage, find_device())
    if rebuilt.changed:
        return False, f"different: inputs changed since: {'; '.join(rebuilt.changed)}"
    line = f"largest pixel difference {rebuilt.difference} of 255"
    if rebuilt.same:
        return True, f"same: {line}"
    # Inputs without an MD5 in the row (neutralizer, latents, sampling steps, code) are left to DVC.
    try:
        stale = dvc.stale_stages(root)
    except FacsimileError:  # not under DVC
        return False, f"different: {line}"
    upstream = needed_by(graph, [lineage.stage])
    reasons = [f"{stage}: {why}" for stage in upstream for why in stale.get(stage, [])]
    return False, f"different: {line}; {', '.join(reasons) or 'DVC finds no changed input'}"


def _face(lineage: Lineage) -> Tree:
    face = lineage.face
    tree = Tree(Text.assemble((lineage.sample_id, "bold"), f"  {lineage.label}"))
    tree.add(_entry("dataset", face["dataset"]))
    tree.add(_entry("subject", face["subject_id"]))
    tree.add(_entry("split", face["split"]))
    if lineage.kind in (REAL, IDENTITY):
        tree.add(_entry("AUs", _values(face, AUS)))
        tree.add(_entry("attributes", _values(face, NUISANCES)))
    else:
        if lineage.kind == TRANSFERRED:
            tree.add(_entry("transferred", _transferred(lineage)))
        elif lineage.kind == DESCRIBED:
            for name, value in _words(lineage):
                tree.add(_entry(name, value))
        else:
            tree.add(_entry("AUs set", _intensities(lineage)))
        tree.add(_entry("filter", _verdict(lineage.decision)))
        if lineage.labels is not None:
            tree.add(_entry("labels", _values(lineage.labels, AUS)))
    if lineage.kind == REAL:
        if (files := source_files(face)) is not None:
            since = f"changed since: {files.change}" if files.change else "unchanged since"
            tree.add(_entry("read from", f"{files.root}, {since}"))
            tree.add(_entry("image", files.place or "no longer found there"))
        tree.add(_entry("x_T", _x_t(lineage)))
        return tree

    tree.add(_entry("seed", face["seed"]))
    for column, path in recorded_files(lineage.kind).items():
        if pd.notna(face[column]):
            tree.add(_entry(column.removesuffix("_md5"), _file(path, face[column])))
    if lineage.kind == IDENTITY:
        for name, value in _identity(face):
            tree.add(_entry(name, value))
    elif lineage.source is not None:
        tree.add(Text("made from", "dim")).add(_face(lineage.source))
    return tree


def _identity(face: pd.Series) -> Iterator[tuple[str, str]]:
    yield "cell", f"{face['gender']} × {face['age_group']}"
    yield "sampled z", _vector(face["z_sampled"])
    converged = "converged" if face["neutral_converged"] else "not converged"
    yield (
        "neutralization",
        f"distance {face['neutral_distance']:.3f} in normalised z, {face['neutral_steps']} steps, "
        f"{converged}; largest residual AU {face['residual_au']:.3f}",
    )
    found = f"md5 {file_md5(NEUTRALIZER_FILE)} now" if NEUTRALIZER_FILE.exists() else "now missing"
    yield "neutralizer", f"{NEUTRALIZER_FILE}  {found}"
    yield "x_T", "sampled by seed and id from a normal distribution fitted to inverted faces"


def _intensities(lineage: Lineage) -> str:
    plan, labels = find_plan(lineage), lineage.face[list(AUS)]
    # Without its plan, the intended intensity of AUs that another AU entails is unknown.
    intended = labels if plan is None else plan.iloc[0][list(AUS)]
    parts = [f"{au} {intended[au]:.3f}" for au in AUS if intended[au] > 0]
    entailed = entailed_aus(lineage)
    if entailed:
        parts.append(f"unknown, because another AU entails it: {', '.join(entailed)}")
    unlabelled = [au for au in AUS if pd.isna(labels[au]) and au not in entailed]
    if unlabelled:
        parts.append(f"unknown: {', '.join(unlabelled)}")
    return "; ".join(parts) or "none"


def _transferred(lineage: Lineage) -> str:
    plan = find_plan(lineage)
    donor = "an unknown person (params.yaml has changed)" if plan is None else plan["donor"][0]
    return f"{lineage.face['intensity']:.3f} of the way to {donor}"


def _words(lineage: Lineage) -> Iterator[tuple[str, str]]:
    words = read_table(DESCRIBE / "words").set_index("sample_id").loc[lineage.sample_id]
    yield "prompt", words["prompt"]
    yield "description", words["description"]
    yield "labelled", _values(lineage.face, AUS)


def _verdict(decision: pd.Series | None) -> str:
    if decision is None:
        return "not filtered yet"
    scores = ", ".join(
        f"{name} {decision[name]:.3g}"
        for name in ("jaccard", "mahalanobis", "identity_distance", "realism")
    )
    if decision["accepted"]:
        return f"accepted; {scores}"
    original = f" of {decision['duplicate_of']}" if decision["reason"] == "duplicate" else ""
    return f"rejected: {decision['reason']}{original}; {scores}"


def _x_t(lineage: Lineage) -> str:
    latents = lineage.latents
    if latents is None or not latents["editable"]:
        return "not inverted"
    if latents["x_t"] is None:
        return "none, because the generator needs none"
    if "activity" not in latents:
        return f"{ENCODE / lineage.face['dataset']}  {_vector(latents['x_t'])}"
    measured = f"z neutralized; total AU activity read before: {latents['activity']:.2f}"
    return f"{NEUTRAL}  {_vector(latents['x_t'])}; {measured}"


def _vector(values: np.ndarray) -> str:
    values = np.asarray(values, np.float32)
    return f"{len(values)} values, mean {values.mean():.3f}, std {values.std():.3f}"


def _values(face: pd.Series, names: tuple[str, ...]) -> str:
    return ", ".join(
        f"{name} {'?' if pd.isna(face[name]) else f'{face[name]:.2g}'}" for name in names
    )


def _file(path: Path, recorded: str) -> str:
    unchanged = path.exists() and file_md5(path) == recorded
    return f"{path}  md5 {recorded}{'' if unchanged else ', changed since'}"


def _stage(root: Path, stage: str, locked: dict[str, Any]) -> Tree:
    tree = Tree(Text(stage, "bold"))
    tree.add(_entry("command", locked["cmd"]))
    params = (f"{name} {value}" for name, value in locked_params(locked).items())
    tree.add(_entry("params", ", ".join(params) or "none"))
    for name, kind in (("reads", "deps"), ("writes", "outs")):
        hashes = tree.add(Text(name, "dim"))
        for path, digest in locked_hashes(locked, kind).items():
            hashes.add(_entry(digest, path))
    run = find_run(root, stage, locked)
    tree.add(_entry("MLflow run", run.info.run_id if run else "none found"))
    tree.add(_entry("code revision", revision_of(run) if run else "unknown (no MLflow run)"))
    return tree


def _entry(name: str, value: object) -> Text:
    # Text, not a string: rich would parse brackets in ids and lists as markup.
    return Text.assemble((f"{name}  ", "dim"), str(value))
