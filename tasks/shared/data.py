"""The models that several stages load, and the latents that they read."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from facsimile.editing.directions import Directions
from facsimile.errors import FacsimileError
from facsimile.faces.tables import read_faces, read_table
from facsimile.generator import DiffAEPipeline
from tasks.params import Sampling
from tasks.shared.artefacts import (
    DIRECTIONS_FILE,
    ENCODE,
    GENERATOR,
    INGEST,
    LABELS,
    NEUTRAL,
    of_split,
)
from tasks.shared.stage import Compute


def load_generator(compute: Compute, sampling: Sampling | None = None) -> DiffAEPipeline:
    """The shipped generator, on the device of this stage, to sample as told."""
    options: dict[str, Any] = {}
    if sampling:
        options = {"dtype": getattr(torch, sampling.dtype), "solver": sampling.solver}
    pipeline = DiffAEPipeline.from_pretrained(GENERATOR, compute.device, **options)
    if compute.compile:
        pipeline.compile()
    return pipeline


def editable_aus(wanted: Sequence[str]) -> tuple[str, ...]:
    """Those of the `wanted` AUs that have a direction; all where none are fitted.

    Raises:
        FacsimileError: none of them has one.
    """
    if not DIRECTIONS_FILE.exists():
        return tuple(wanted)
    fitted = Directions.load(DIRECTIONS_FILE).aus
    kept = tuple(au for au in wanted if au in fitted)
    if not kept:
        raise FacsimileError(
            f"params.yaml: {', '.join(wanted)}: nothing to edit, for only {', '.join(fitted)} have "
            "directions, as the training faces are annotated"
        )
    return kept


def tell_aus(wanted: Sequence[str], kept: Sequence[str], why: str = "no direction") -> None:
    """Say which of the `wanted` AUs are edited, where it is not all."""
    if left_out := [au for au in wanted if au not in kept]:
        print(f"edits {', '.join(kept)}; left out {', '.join(left_out)}: {why}", file=sys.stderr)


def read_encoded(dataset: str, pipeline: DiffAEPipeline, split: str | None = None) -> pd.DataFrame:
    """Labels of encoded faces with ``z``, their code (D,) normalised by the generator.

    Raises:
        FacsimileError: no face of the split, or faces and latents that do not match.
    """
    rows = read_codes(dataset, ["sample_id", "subject_id", "split", *LABELS])
    if split:
        rows = of_split(rows, split, INGEST / dataset)
    z_sem = np.stack(rows["z_sem"])
    if z_sem.shape[1] != pipeline.z_dim:
        raise FacsimileError(
            f"{ENCODE / dataset}: codes have {z_sem.shape[1]} dimensions, "
            f"those of {GENERATOR} {pipeline.z_dim}; encode again"
        )
    mean, std = pipeline.conds_mean.cpu().numpy(), pipeline.conds_std.cpu().numpy()
    return rows.drop(columns="z_sem").assign(z=list((z_sem - mean) / std))


def read_codes(dataset: str, columns: Sequence[str]) -> pd.DataFrame:
    """Columns of encoded faces, sample_id among them, and their raw ``z_sem`` (D,).

    Raises:
        FacsimileError: faces and latents that do not match.
    """
    faces = read_faces(INGEST / dataset, columns)
    latents = read_table(ENCODE / dataset, ["sample_id", "z_sem"])
    rows = faces.merge(latents, on="sample_id", validate="one_to_one")
    if len(rows) < len(faces):
        raise FacsimileError(f"{ENCODE / dataset}: {len(faces) - len(rows)} faces have no latent")
    return rows


def read_invertible(dataset: str, split: str) -> pd.DataFrame:
    """Neutral faces of a split that have an x_T: labels, raw ``z_sem`` and flattened ``x_t``."""
    columns = ["sample_id", "dataset", "subject_id", "split", *LABELS]
    faces = of_split(read_faces(INGEST / dataset, columns), split, INGEST / dataset)
    latents = read_table(ENCODE / dataset)
    return faces.merge(latents[latents["x_t"].notna()], on="sample_id", validate="one_to_one")


def read_neutral(dataset: str) -> pd.DataFrame:
    """Faces that `neutral` chose: as `read_invertible`, but ``z_sem`` is neutralized."""
    latents = read_table(NEUTRAL / "faces")
    columns = ["sample_id", "dataset", "subject_id", "split", *LABELS]
    return read_faces(INGEST / dataset, columns).merge(latents, on="sample_id")


def spread(faces: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` rows, evenly spaced."""
    return faces.iloc[np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int)]


def stack(column: pd.Series) -> np.ndarray:
    """A column of N vectors (D,) as one array (N, D) float32."""
    return np.stack(column.to_numpy()).astype(np.float32)


def md5(path: Path) -> str:
    """MD5 of a file, as DVC records it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
