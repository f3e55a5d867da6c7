"""Encode faces, and invert the neutral ones that will be edited.

    python -m tasks.encode [--device cuda] [--batch-size N]

Reads   data/ingest, data/generator; params datasets, sampling, encode.
Writes  data/encode/<dataset>/part-*.parquet (LATENT_SCHEMA), metrics.json.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facsimile.editing import neutral_faces
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import (
    LATENT_SCHEMA,
    decode_images,
    iter_table,
    read_faces,
    read_rows,
    to_tensor,
    write_shards,
)
from facsimile.generator import Codes, Generator
from facsimile.generator.evaluation import fidelity
from tasks.helpers import readiness
from tasks.helpers.generator_loading import load_generator
from tasks.params import DatasetsParams, EncodeParams, SamplingParams
from tasks.shared.artefacts import INGEST, neutral_aus, select_split
from tasks.shared.stage import Compute, main, progress


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    sampling: SamplingParams,
    encode: EncodeParams,
) -> dict[str, Any]:
    """Encode the AU set and the attribute set."""
    generator = load_generator(compute, sampling)
    chosen = neutral_ids(datasets.aus, encode)
    metrics: dict[str, Any] = {"encoded": 0, "inverted": len(chosen)}
    for name in dict.fromkeys((datasets.aus, datasets.attributes)):
        batches = encode_dataset(generator, name, chosen, compute)
        metrics["encoded"] += write_shards(batches, out / name, LATENT_SCHEMA)
    ids = sorted(chosen)[:: max(1, len(chosen) // 32)]
    return metrics | reconstruction(generator, datasets.aus, out, ids)


def neutral_ids(dataset: str, encode: EncodeParams) -> set[str]:
    """Ids of the neutral faces to invert, up to a maximum per person and split.

    Raises:
        FacsimileError: train or val has none. Test faces only illustrate the report, so they are
            optional.
    """
    path = INGEST / dataset
    aus = neutral_aus(dataset)
    faces = read_faces(path, ["sample_id", "subject_id", "split", *AUS])
    chosen: set[str] = set()
    for split, per_subject in encode.neutral_per_subject.items():
        if not per_subject:
            continue
        try:
            neutral = neutral_faces(select_split(faces, split, path), per_subject, aus)
        except FacsimileError as error:
            if split != "test":
                raise FacsimileError(f"{path}: split {split}: {error}") from error
            print(f"{path}: split test: {error}", file=sys.stderr)
            continue
        chosen |= set(neutral["sample_id"])
    return chosen


def encode_dataset(
    generator: Generator, name: str, chosen: set[str], compute: Compute
) -> Iterator[pd.DataFrame]:
    """Codes of a dataset, with x_T for the chosen ids only."""
    total = len(read_faces(INGEST / name, ["sample_id"]))
    with progress(f"encode {name}", total) as advance:
        for batch in iter_table(INGEST / name, compute.batch_size, ["sample_id", "image"]):
            images = to_tensor(decode_images(batch, str(INGEST / name)))
            codes = generator.encode(images)
            editable = batch["sample_id"].isin(chosen)
            table = pd.DataFrame(
                {"sample_id": batch["sample_id"], **codes.to_columns(), "editable": editable}
            )
            if editable.any():
                rows = np.flatnonzero(editable)
                inverted = generator.invert(images[rows], codes[rows]).to_columns()
                table["x_t"] = pd.Series(inverted.get("x_t"), index=rows, dtype=object)
            yield table
            advance(len(batch))


def reconstruction(
    generator: Generator, dataset: str, out: Path, ids: list[str]
) -> dict[str, float]:
    """SSIM and PSNR of reconstructions of some editable faces."""
    faces = read_rows(INGEST / dataset, ids, ["sample_id", "image"]).set_index("sample_id")
    latents = read_rows(out / dataset, ids, LATENT_SCHEMA.names).set_index("sample_id").loc[ids]
    originals = to_tensor(decode_images(faces.loc[ids].reset_index(), str(INGEST / dataset)))
    decoded = generator.decode(Codes.from_table(latents)).clamp(-1, 1).cpu()
    ssim, psnr = fidelity(decoded, originals)
    return {"ssim": ssim, "psnr": psnr}


if __name__ == "__main__":
    main("encode", run, before=readiness.require)
