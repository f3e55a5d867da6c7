"""Find neutral faces that nobody annotated, invert them, and neutralize what is left in them.

    python -m tasks.neutral [--device cuda] [--batch-size N]

The annotated faces are of few people. The attribute set has more, and some of their faces are
neutral: detectors of the annotated people find these, the neutralizer does the rest.

Reads   data/ingest, data/encode, data/baseline, data/neutralizer, data/generator; params datasets,
        sampling, neutral.
Writes  data/neutral/faces/part-*.parquet (NEUTRAL_SCHEMA), metrics.json.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from facsimile.detection import AUEnsemble
from facsimile.editing import Neutralizer, least_active, neutralize
from facsimile.editing.edit import codes
from facsimile.faces.aus import AUS
from facsimile.faces.tables import (
    LATENT_SCHEMA,
    decode_images,
    iter_table,
    read_faces,
    read_table,
    to_tensor,
    write_shards,
)
from facsimile.generator import DiffAEPipeline
from tasks.params import Datasets, Neutral, Sampling
from tasks.shared.artefacts import BASELINE, ENCODE, INGEST, NEUTRALIZER, neutral_aus
from tasks.shared.data import load_generator
from tasks.shared.stage import Compute, main, progress

NEUTRAL_SCHEMA = LATENT_SCHEMA.append(pa.field("activity", pa.float32()))
"""Latents of one face. ``z_sem`` is neutralized; ``activity`` is the sum of the AUs that
detectors saw in the face before."""


def run(
    out: Path, compute: Compute, datasets: Datasets, sampling: Sampling, neutral: Neutral
) -> dict[str, Any]:
    """Of the training people of the attribute set, take the faces that look most neutral."""
    path = INGEST / datasets.attributes
    faces = unannotated(path, neutral_aus(datasets.aus))
    faces["activity"] = activity(path, faces, compute)
    chosen = least_active(faces, neutral.faces, neutral.per_subject)
    pipeline = load_generator(compute, sampling)
    latents = invert(pipeline, datasets.attributes, chosen, sampling.steps, compute)
    return {
        "neutral_faces": write_shards(latents, out / "faces", NEUTRAL_SCHEMA),
        "of": len(faces),
        "people": chosen["subject_id"].nunique(),
        "activity": chosen["activity"].mean(),
    }


def unannotated(path: Path, aus: tuple[str, ...]) -> pd.DataFrame:
    """sample_id and subject_id of training faces that have no label of some of these AUs."""
    faces = read_faces(path, ["sample_id", "subject_id", "split", *AUS])
    unknown = faces[list(aus)].isna().any(axis=1) & (faces["split"] == "train")
    return faces.loc[unknown, ["sample_id", "subject_id"]].reset_index(drop=True)


def activity(path: Path, faces: pd.DataFrame, compute: Compute) -> np.ndarray:
    """Sum of the AUs that detectors of real faces see in each face, (N,)."""
    reader = AUEnsemble.load(BASELINE, compute.device)
    sums = pd.Series(np.nan, index=faces["sample_id"])
    with progress("read AUs", len(faces)) as advance:
        for batch in batches(path, set(faces["sample_id"]), compute.batch_size):
            readings = reader.aus(decode_images(batch, str(path)))
            sums[batch["sample_id"]] = np.nansum(readings.clip(min=0), axis=1)
            advance(len(batch))
    return sums.to_numpy()


def invert(
    pipeline: DiffAEPipeline, dataset: str, faces: pd.DataFrame, steps: int, compute: Compute
) -> Iterator[pd.DataFrame]:
    """Rows of ``NEUTRAL_SCHEMA``: x_T belongs to the face as it is, z_sem is neutralized then."""
    if faces.empty:
        return
    faces = faces.set_index("sample_id")
    z_sem = read_table(ENCODE / dataset, ["sample_id", "z_sem"]).set_index("sample_id")["z_sem"]
    network = Neutralizer.load(NEUTRALIZER / "neutralizer.safetensors").to(pipeline.device)
    neutral = neutralize(network, pipeline.normalize(codes(z_sem[faces.index])).cpu().numpy()).z
    faces["z_sem"] = list(pipeline.denormalize(torch.from_numpy(neutral)).cpu().numpy())
    with progress("invert neutral faces", len(faces)) as advance:
        for batch in batches(INGEST / dataset, set(faces.index), compute.batch_size):
            ids = batch["sample_id"]
            images = to_tensor(decode_images(batch, str(INGEST / dataset)))
            x_t = pipeline.invert(images, codes(z_sem[ids]), steps)
            x_t = x_t.half().cpu().flatten(1).numpy()
            yield faces.loc[ids, ["z_sem", "activity"]].reset_index().assign(x_t=list(x_t))
            advance(len(batch))


def batches(path: Path, ids: set[str], size: int) -> Iterator[pd.DataFrame]:
    """Images of the faces with these ids, `size` at a time but for the last."""
    kept = pd.DataFrame(columns=["sample_id", "image"])
    for batch in iter_table(path, size, ["sample_id", "image"]):
        kept = pd.concat([kept, batch[batch["sample_id"].isin(ids)]], ignore_index=True)
        while len(kept) >= size:
            yield kept.head(size)
            kept = kept.iloc[size:].reset_index(drop=True)
    if len(kept):
        yield kept


if __name__ == "__main__":
    main("neutral", run)
