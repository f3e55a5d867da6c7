"""Correct the labels of all generated faces, and accept or reject each with a reason.

    python -m tasks.filter [--device cuda] [--batch-size N]

Reads   data/edit, data/synthesize, data/transfer, data/describe, data/neutral, data/baseline,
        data/ingest, data/encode, data/generator; params datasets, filter. Uses only training and
        validation splits, and models fitted on them.
Writes  data/filter/faces/part-*.parquet (accepted, GENERATED_SCHEMA), decisions.parquet (one row
        per candidate: scores, accepted, reason), metrics.json.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from facsimile.detection import AUEnsemble
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.picture_store import PictureStore, StoredPictures, picture_store
from facsimile.faces.tables import (
    GENERATED_SCHEMA,
    evenly_spaced,
    iter_rows,
    read_located,
    read_table,
    to_tensor,
    write_shards,
)
from facsimile.filtering import (
    Candidates,
    FaceFilter,
    FilterLimits,
    RealFaces,
    requested_codes,
)
from facsimile.generator import Generator
from facsimile.language import ASKED
from facsimile.measurement import filter_metrics
from tasks.helpers.codes import read_encoded, stack_codes
from tasks.helpers.generator_loading import load_generator
from tasks.helpers.label_correction import fit_corrector
from tasks.params import DatasetsParams, FilterParams
from tasks.shared.artefacts import (
    BASELINE,
    DESCRIBE,
    INGEST,
    NEUTRAL,
    SYNTHESIZE,
    generated_tables,
    select_split,
)
from tasks.shared.stage import Compute, main, progress

_COLUMNS = (
    *("sample_id", "subject_id", "origin", "source_id", "edited_au", "male", "age", "z"),
    *("au_presence_only", *AUS),
)
_BATCH = 1024


def run(
    out: Path, compute: Compute, datasets: DatasetsParams, filter: FilterParams
) -> dict[str, Any]:
    """Filter all generated faces together, so that the accepted faces are balanced as a whole."""
    candidates = pd.concat(
        (read_located(table, _COLUMNS) for table in generated_tables()), ignore_index=True
    )
    requested = candidates[list(AUS)].to_numpy(np.float32)
    with picture_store(out, progress) as store:
        decisions = decide(candidates, store, compute, datasets, filter)
    accepted = candidates[decisions["accepted"].to_numpy()]
    if accepted.empty:
        reasons = ", ".join(f"{n} × {why}" for why, n in decisions["reason"].value_counts().items())
        raise FacsimileError(f"filter: none of {len(candidates)} faces is accepted ({reasons})")
    write_shards(read_again(accepted), out / "faces", GENERATED_SCHEMA)
    decisions.to_parquet(out / "decisions.parquet", index=False)
    # The number of accepted faces first: the first metric is the key figure of the stage.
    correction = np.nanmean(np.abs(candidates[list(AUS)].to_numpy() - requested))
    metrics = {"accepted": len(accepted), "label_correction": float(correction)}
    return metrics | filter_metrics(decisions)


def decide(
    candidates: pd.DataFrame,
    store: PictureStore,
    compute: Compute,
    datasets: DatasetsParams,
    filter: FilterParams,
) -> pd.DataFrame:
    """Correct the labels of `candidates` in place, drop their codes, and decide on each."""
    generator = load_generator(compute)
    annotated = read_encoded(datasets.aus, generator)
    attributes = read_encoded(datasets.attributes, generator, "train")
    images = store.decode(candidates)
    z_requested = read_requested(candidates, annotated, generator, compute, store)
    del candidates["z"]  # memory that is not needed any more
    reader = AUEnsemble.load(BASELINE, compute.device)
    corrector = fit_corrector(reader, datasets.aus)
    readings = reader.predict(images)
    if filter.correct_labels:
        candidates[list(AUS)] = corrector.correct(
            candidates[list(AUS)].to_numpy(np.float32),
            readings,
            candidates["au_presence_only"].to_numpy(bool),
        )

    train = select_split(annotated, "train", INGEST / datasets.aus)
    references = pd.concat(
        [
            train.assign(table=str(INGEST / datasets.aus)),
            evenly_spaced(attributes, filter.reference_faces).assign(
                table=str(INGEST / datasets.attributes)
            ),
        ]
    )
    face_filter = FaceFilter(FilterLimits(**filter.limits), seed=filter.seed).fit(
        RealFaces(
            store.decode(references),
            stack_codes(references["z"]),
            references["subject_id"].to_numpy(),
        ),
        stack_codes(attributes["z"]),
        attributes["subject_id"].to_numpy(),
    )
    return face_filter.predict(
        Candidates(
            candidates,
            images,
            encode(generator, images, compute, "encode candidates"),
            z_requested,
            intended_aus(candidates),
            corrector.detect(readings),
        )
    )


def read_again(accepted: pd.DataFrame) -> Iterator[pa.Table]:
    """Rows of the tables of generated faces, with all columns and with the labels of `accepted`."""
    for table, rows in accepted.groupby("table", sort=False):
        labels = rows.set_index("sample_id")[list(AUS)]
        for batch in iter_rows(Path(table), _BATCH, rows["sample_id"]):
            corrected = labels.loc[batch["sample_id"].to_pylist()]
            for au in AUS:
                column = pa.array(corrected[au].to_numpy(np.float32), from_pandas=True)
                batch = batch.set_column(batch.column_names.index(au), au, column)
            yield batch


def encode(generator: Generator, images: StoredPictures, compute: Compute, name: str) -> np.ndarray:
    """Normalised codes (N, D) of uint8 images."""
    z = np.empty((len(images), generator.z_dim), np.float32)
    with progress(name, len(images)) as advance:
        for start in range(0, len(images), compute.batch_size):
            rows = slice(start, start + compute.batch_size)
            batch = to_tensor(images[rows])
            z[rows] = generator.encode(batch).z.cpu().numpy()
            advance(len(batch))
    return z


def read_requested(
    candidates: pd.DataFrame,
    annotated: pd.DataFrame,
    generator: Generator,
    compute: Compute,
    store: PictureStore,
) -> np.ndarray:
    """Codes (N, D) of the person that each candidate should show."""
    path = SYNTHESIZE / "identities"
    identities = read_table(path, ["sample_id"]).assign(table=str(path))
    z = encode(generator, store.decode(identities), compute, "encode identities")
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


if __name__ == "__main__":
    main("filter", run)
