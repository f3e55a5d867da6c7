"""Correct the labels of all generated faces, and accept or reject each with a reason.

    python -m tasks.filter [--device cuda] [--batch-size N]

Reads   data/edit, data/synthesize, data/transfer, data/describe, data/neutral, data/baseline,
        data/ingest, data/encode, data/generator; params datasets, filter. Uses only training and
        validation splits, and models fitted on them.
Writes  data/filter/faces/part-*.parquet (accepted, GENERATED_SCHEMA), decisions.parquet (one row
        per candidate: scores, accepted, reason), metrics.json.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facsimile.detection import AUEnsemble
from facsimile.errors import FacsimileError
from facsimile.faces.annotation import keep_labels
from facsimile.faces.aus import AUS
from facsimile.faces.tables import (
    GENERATED_SCHEMA,
    decode_images,
    evenly_spaced,
    read_faces,
    read_table,
    to_tensor,
    write_shards,
)
from facsimile.filtering import (
    Candidates,
    FaceFilter,
    FilterLimits,
    LabelCorrector,
    RealFaces,
    requested_codes,
)
from facsimile.generator import Generator
from facsimile.language import ASKED
from facsimile.measurement import filter_metrics
from tasks.helpers.codes import read_encoded, stack_codes
from tasks.helpers.generator_loading import load_generator
from tasks.params import DatasetsParams, FilterParams
from tasks.shared.artefacts import (
    BASELINE,
    DESCRIBE,
    INGEST,
    NEUTRAL,
    SYNTHESIZE,
    generated_tables,
    learned_aus,
    read_splits,
    select_split,
)
from tasks.shared.stage import Compute, main, progress


def run(
    out: Path, compute: Compute, datasets: DatasetsParams, filter: FilterParams
) -> dict[str, Any]:
    """Filter all generated faces together, so that the accepted faces are balanced as a whole."""
    generator = load_generator(compute)
    annotated = read_encoded(datasets.aus, generator)
    attributes = read_encoded(datasets.attributes, generator, "train")
    candidates = pd.concat(map(read_faces, generated_tables()), ignore_index=True)
    images = decode_images(candidates, "generated faces")
    requested = candidates[list(AUS)].to_numpy(np.float32)
    reader = AUEnsemble.load(BASELINE, compute.device)
    corrector = fit_corrector(reader, datasets.aus)
    readings = reader.predict(images)
    if filter.correct_labels:
        candidates[list(AUS)] = corrector.correct(
            requested, readings, candidates["au_presence_only"].to_numpy(bool)
        )

    train = select_split(annotated, "train", INGEST / datasets.aus)
    references = pd.concat([train, evenly_spaced(attributes, filter.reference_faces)])
    face_filter = FaceFilter(FilterLimits(**filter.limits), seed=filter.seed).fit(
        RealFaces(
            read_images(datasets, references["sample_id"]),
            stack_codes(references["z"]),
            references["subject_id"].to_numpy(),
        ),
        stack_codes(attributes["z"]),
        attributes["subject_id"].to_numpy(),
    )
    decisions = face_filter.predict(
        Candidates(
            candidates,
            images,
            encode(generator, images, compute, "encode candidates"),
            read_requested(candidates, annotated, generator, compute),
            intended_aus(candidates),
            corrector.detect(readings),
        )
    )
    accepted = candidates[decisions["accepted"].to_numpy()]
    if accepted.empty:
        reasons = ", ".join(f"{n} × {why}" for why, n in decisions["reason"].value_counts().items())
        raise FacsimileError(f"filter: none of {len(candidates)} faces is accepted ({reasons})")
    write_shards([accepted], out / "faces", GENERATED_SCHEMA)
    decisions.to_parquet(out / "decisions.parquet", index=False)
    # The number of accepted faces first: the first metric is the key figure of the stage.
    correction = np.nanmean(np.abs(candidates[list(AUS)].to_numpy() - requested))
    metrics = {"accepted": len(accepted), "label_correction": float(correction)}
    return metrics | filter_metrics(decisions)


def fit_corrector(reader: AUEnsemble, dataset: str) -> LabelCorrector:
    """Fit the label corrector to the errors of the AU detectors on validation faces."""
    columns = ["sample_id", "subject_id", "split", "image", *AUS]
    (val,) = read_splits(dataset, ("val",), columns)
    labels = keep_labels(val, learned_aus(dataset))[list(AUS)].to_numpy(np.float32)
    return LabelCorrector().fit(labels, reader.predict(decode_images(val)))


def encode(generator: Generator, images: np.ndarray, compute: Compute, name: str) -> np.ndarray:
    """Normalised codes (N, D) of uint8 images."""
    parts = []
    with progress(name, len(images)) as advance:
        for start in range(0, len(images), compute.batch_size):
            batch = to_tensor(images[start : start + compute.batch_size])
            parts.append(generator.encode(batch).z.cpu().numpy())
            advance(len(batch))
    return np.concatenate(parts)


def read_requested(
    candidates: pd.DataFrame, annotated: pd.DataFrame, generator: Generator, compute: Compute
) -> np.ndarray:
    """Codes (N, D) of the person that each candidate should show."""
    identities = read_table(SYNTHESIZE / "identities", ["sample_id", "image"])
    images = decode_images(identities, str(SYNTHESIZE / "identities"))
    z = encode(generator, images, compute, "encode identities")
    sources = [
        annotated.set_index("sample_id")["z"],
        pd.Series(list(z), index=identities["sample_id"].to_numpy()),
    ]
    for table in (NEUTRAL / "faces", DESCRIBE / "people"):
        people = read_table(table, ["sample_id", "z"])
        sources.append(people.set_index("sample_id")["z"])
    return requested_codes(candidates, pd.concat(sources))


def intended_aus(candidates: pd.DataFrame) -> np.ndarray:
    """AU intensities (N, 12) that candidates should show: labels, or those of their prompts."""
    prompts = read_table(DESCRIBE / "words", ["sample_id", *ASKED]).set_index("sample_id")
    asked = prompts.reindex(candidates["sample_id"]).to_numpy(np.float32)
    return np.where(np.isnan(asked), candidates[list(AUS)].to_numpy(np.float32), asked)


def read_images(datasets: DatasetsParams, sample_ids: pd.Series) -> np.ndarray:
    """Images of real faces, in the order of their ids."""
    names = dict.fromkeys((datasets.aus, datasets.attributes))
    faces = pd.concat(read_faces(INGEST / name, ["sample_id", "image"]) for name in names)
    return decode_images(faces.set_index("sample_id").loc[sample_ids].reset_index(), str(INGEST))


if __name__ == "__main__":
    main("filter", run)
