"""Select neutral faces among unannotated ones, invert them, and neutralize residual expression.

    python -m tasks.neutral [--device cuda] [--batch-size N]

The annotated faces show few people. The attribute set shows more, and some of its faces are nearly
neutral. The baseline detectors select them, and the neutralizer removes their residual expression.

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

from facsimile.detection import AUEnsemble
from facsimile.editing import Neutralizer, least_active, neutralize
from facsimile.faces.aus import AUS
from facsimile.faces.picture_store import iter_images
from facsimile.faces.tables import (
    LATENT_SCHEMA,
    read_faces,
    to_tensor,
    write_shards,
)
from facsimile.generator import Codes, Generator
from tasks.helpers.codes import read_codes
from tasks.helpers.generator_loading import load_generator
from tasks.params import DatasetsParams, NeutralParams, SamplingParams
from tasks.shared.artefacts import BASELINE, INGEST, NEUTRALIZER_FILE, neutral_aus
from tasks.shared.stage import Compute, main, progress

NEUTRAL_SCHEMA = LATENT_SCHEMA.append(pa.field("activity", pa.float32()))
"""Codes of one face. ``z`` is neutralized; ``activity`` is the sum of the AU intensities that
the baseline detectors read in the original face."""


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    sampling: SamplingParams,
    neutral: NeutralParams,
) -> dict[str, Any]:
    """Select the most neutral training faces of the attribute set."""
    path = INGEST / datasets.attributes
    faces = unannotated(path, neutral_aus(datasets.aus))
    faces["activity"] = activity(path, faces, compute)
    chosen = least_active(faces, neutral.faces, neutral.per_subject)
    generator = load_generator(compute, sampling)
    latents = invert(generator, datasets.attributes, chosen, compute)
    return {
        "neutral_faces": write_shards(latents, out / "faces", NEUTRAL_SCHEMA),
        "of": len(faces),
        "people": chosen["subject_id"].nunique(),
        "activity": chosen["activity"].mean(),
    }


def unannotated(path: Path, aus: tuple[str, ...]) -> pd.DataFrame:
    """sample_id and subject_id of training faces on which any of these AUs is not annotated."""
    faces = read_faces(path, ["sample_id", "subject_id", "split", *AUS])
    unknown = faces[list(aus)].isna().any(axis=1) & (faces["split"] == "train")
    return faces.loc[unknown, ["sample_id", "subject_id"]].reset_index(drop=True)


def activity(path: Path, faces: pd.DataFrame, compute: Compute) -> np.ndarray:
    """Sum of the AU intensities that the baseline detectors read in each face, (N,)."""
    reader = AUEnsemble.load(BASELINE, compute.device)
    sums = pd.Series(np.nan, index=faces["sample_id"])
    with progress("read AUs", len(faces)) as advance:
        for ids, images in iter_images(path, faces["sample_id"], compute.batch_size):
            sums[ids] = np.nansum(reader.predict(images).clip(min=0), axis=1)
            advance(len(ids))
    return sums.to_numpy()


def invert(
    generator: Generator, dataset: str, faces: pd.DataFrame, compute: Compute
) -> Iterator[pd.DataFrame]:
    """Rows of ``NEUTRAL_SCHEMA``: x_T of the original face and its neutralized z."""
    if faces.empty:
        return
    faces = faces.set_index("sample_id")
    encoded = read_codes(dataset, ["sample_id"]).set_index("sample_id")
    network = Neutralizer.load(NEUTRALIZER_FILE).to(generator.device)
    codes = Codes.from_table(encoded.loc[faces.index])
    faces["z"] = list(neutralize(network, codes.z.numpy()).z)
    faces["editable"] = True
    with progress("invert neutral faces", len(faces)) as advance:
        for ids, images in iter_images(INGEST / dataset, faces.index, compute.batch_size):
            inverted = generator.invert(to_tensor(images), Codes.from_table(encoded.loc[ids]))
            yield faces.loc[ids].reset_index().assign(x_t=inverted.to_columns().get("x_t"))
            advance(len(ids))


if __name__ == "__main__":
    main("neutral", run)
