"""Label every generated face as far as is known, and accept or reject it, with the reason.

    python -m tasks.filter [--device cuda] [--batch-size N]

Reads   data/edit, data/synthesize, data/transfer, data/neutral, data/baseline, data/ingest,
        data/encode, data/generator; params datasets, filter. Only training and validation splits,
        and models fitted on them.
Writes  data/filter/faces/part-*.parquet (accepted, GENERATED_SCHEMA), decisions.parquet (one row a
        candidate: scores, accepted, reason), metrics.json.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facsimile.detection import AUEnsemble
from facsimile.editing.edit import codes
from facsimile.errors import FacsimileError
from facsimile.faces.annotation import only
from facsimile.faces.aus import AUS
from facsimile.faces.tables import (
    GENERATED_SCHEMA,
    decode_images,
    read_faces,
    read_table,
    to_tensor,
    write_shards,
)
from facsimile.filtering import (
    MIN_PEARSON,
    FilterLimits,
    IdentitySpace,
    corrected_labels,
    filter_faces,
)
from facsimile.generator import DiffAEPipeline
from facsimile.measurement import choose_thresholds, filter_metrics, pearson_per_au, presence
from tasks.shared.data import (
    BASELINE,
    EDIT,
    INGEST,
    NEUTRAL,
    SYNTHESIZE,
    TRANSFER,
    load_generator,
    of_split,
    read_encoded,
    read_splits,
    spread,
    stack,
    taught_aus,
)
from tasks.shared.params import Datasets, Filter
from tasks.shared.stage import Compute, main, progress


def run(out: Path, compute: Compute, datasets: Datasets, filter: Filter) -> dict[str, Any]:
    """Judge all generated faces together, so that what is accepted is balanced over all."""
    pipeline = load_generator(compute)
    annotated = read_encoded(datasets.aus, pipeline)
    attributes = read_encoded(datasets.attributes, pipeline, "train")
    train = of_split(annotated, "train", INGEST / datasets.aus)
    candidates = pd.concat(
        [read_faces(folder / "faces") for folder in (EDIT, SYNTHESIZE, TRANSFER)], ignore_index=True
    )
    images = decode_images(candidates, "generated faces")
    intended = candidates[list(AUS)].to_numpy(np.float32)
    columns = ["sample_id", "subject_id", "split", "image", *AUS]
    (val,) = read_splits(datasets.aus, ("val",), columns)
    aus = only(val, taught_aus(datasets.aus))[list(AUS)].to_numpy(np.float32)
    reader = AUEnsemble.load(BASELINE, compute.device)
    unseen, readings = reader.aus(decode_images(val)), reader.aus(images)
    trust, thresholds = pearson_per_au(aus, unseen), choose_thresholds(aus, unseen)
    # Where annotators said no more than that an AU is there, its level stays open.
    presence_only = candidates[["au_presence_only"]].to_numpy(bool)
    labels = corrected_labels(intended, readings, trust)
    candidates[list(AUS)] = np.where(presence_only, intended, labels)
    # Of AUs that it reads badly it would reject most faces that show them.
    detected = np.where(trust >= MIN_PEARSON, presence(readings, thresholds), np.nan)
    references = pd.concat([train, spread(attributes, filter.reference_faces)])

    limits = filter.model_dump(exclude={"reference_faces", "seed"})
    decisions = filter_faces(
        candidates,
        images,
        encode(pipeline, images, compute, "encode candidates"),
        source_codes(candidates, annotated, pipeline, compute),
        real_images=read_images(datasets, references["sample_id"]),
        real_z=stack(references["z"]),
        real_subjects=references["subject_id"].to_numpy(),
        detected=detected,
        identity=IdentitySpace.fit(
            stack(attributes["z"]), attributes["subject_id"].to_numpy(), seed=filter.seed
        ),
        limits=FilterLimits(**limits),
        seed=filter.seed,
    )
    accepted = candidates[decisions["accepted"].to_numpy()]
    if accepted.empty:
        reasons = ", ".join(f"{n} × {why}" for why, n in decisions["reason"].value_counts().items())
        raise FacsimileError(f"filter: none of {len(candidates)} faces is accepted ({reasons})")
    write_shards([accepted], out / "faces", GENERATED_SCHEMA)
    decisions.to_parquet(out / "decisions.parquet", index=False)
    # Accepted faces first: the first metric is the key figure of the stage.
    correction = np.nanmean(np.abs(candidates[list(AUS)].to_numpy() - intended))
    metrics = {"accepted": len(accepted), "label_correction": float(correction)}
    return metrics | filter_metrics(decisions)


def encode(pipeline: DiffAEPipeline, images: np.ndarray, compute: Compute, name: str) -> np.ndarray:
    """Normalised codes (N, D) of uint8 images."""
    parts = []
    with progress(name, len(images)) as advance:
        for start in range(0, len(images), compute.batch_size):
            batch = to_tensor(images[start : start + compute.batch_size])
            parts.append(pipeline.normalize(pipeline.encode(batch)).cpu().numpy())
            advance(len(batch))
    return np.concatenate(parts)


def source_codes(
    candidates: pd.DataFrame, annotated: pd.DataFrame, pipeline: DiffAEPipeline, compute: Compute
) -> np.ndarray:
    """Codes (N, D) of the person whom each candidate is to show: those of the neutral face that it
    was made of, and of a transferred one its own, as it was asked for."""
    identities = read_table(SYNTHESIZE / "identities", ["sample_id", "image"])
    images = decode_images(identities, str(SYNTHESIZE / "identities"))
    z = encode(pipeline, images, compute, "encode identities")
    sources = [
        annotated.set_index("sample_id")["z"],
        pd.Series(list(z), index=identities["sample_id"].to_numpy()),
    ]
    neutral = read_table(NEUTRAL / "faces", ["sample_id", "z_sem"])
    if len(neutral):
        z = pipeline.normalize(codes(neutral["z_sem"])).cpu().numpy()
        sources.append(pd.Series(list(z), index=neutral["sample_id"].to_numpy()))
    asked = stack(pd.concat(sources).loc[candidates["source_id"]])
    moved = (candidates["origin"] == "transferred").to_numpy()
    if moved.any():
        z = pipeline.normalize(codes(candidates.loc[moved, "z_sem"]))
        asked[moved] = z.cpu().numpy()
    return asked


def read_images(datasets: Datasets, sample_ids: pd.Series) -> np.ndarray:
    """Images of real faces, in the order of their ids."""
    names = dict.fromkeys((datasets.aus, datasets.attributes))
    faces = pd.concat(read_faces(INGEST / name, ["sample_id", "image"]) for name in names)
    return decode_images(faces.set_index("sample_id").loc[sample_ids].reset_index(), str(INGEST))


if __name__ == "__main__":
    main("filter", run)
