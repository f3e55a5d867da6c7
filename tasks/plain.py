"""Generate faces by the paper's method as published, to tell what this project's additions do.

    python -m tasks.plain [--device cuda] [--batch-size N]

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV-A: every neutral face
and every synthetic person gets one variant for each AU. Labels are as requested, and no face is
filtered. Directions have the hyperparameters of the paper (`facsimile.editing.ablation`).

Reads   data/ingest, data/encode, data/neutralizer, data/synthesize (people before any edit),
        data/generator, data/config/au_graph.yaml; params datasets, sampling, editor, plain.
Writes  data/plain/faces/part-*.parquet (GENERATED_SCHEMA), directions.parquet, metrics.json.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from facsimile.editing import EditOperator, LinearEditor, neutral_faces, plan_edits
from facsimile.editing.ablation import fit_variants
from facsimile.editing.directions import Directions
from facsimile.errors import FacsimileError
from facsimile.faces.tables import (
    GENERATED_SCHEMA,
    decode_images,
    read_table,
    to_tensor,
    write_shards,
)
from facsimile.generator import Codes, Generator, NoiseModel
from tasks.helpers.codes import read_editable
from tasks.helpers.editor_data import read_editor_data
from tasks.helpers.generator_loading import load_generator
from tasks.params import DatasetsParams, EditorParams, PlainParams, SamplingParams
from tasks.shared.artefacts import INGEST, LABELS, SYNTHESIZE, neutral_aus, read_splits
from tasks.shared.stage import Compute, main, operate, progress


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    sampling: SamplingParams,
    editor: EditorParams,
    plain: PlainParams,
) -> dict[str, Any]:
    """Fit the directions, and edit annotated and synthetic people by one AU each."""
    generator = load_generator(compute, sampling)
    data = read_editor_data(datasets, generator)
    fitted = fit_variants(data, generator, editor.linear, progress, ["plain"])
    if "plain" not in fitted:
        raise FacsimileError("the method as published cannot be fitted to these faces")
    # As published, all AUs but the edited one count as absent.
    table = fitted["plain"].directions_.table
    published = LinearEditor.from_directions(
        Directions(table.assign(entails=[[] for _ in range(len(table))]))
    )
    published.save(out)
    variants = {"aus": published.aus, "intensity": plain.intensity, "seed": plain.seed}

    neutral = read_neutral(datasets.aus, generator, plain.per_subject, compute)
    noise = NoiseModel().fit(Codes.from_table(read_editable(datasets.aus, "train")))
    people = read_table(SYNTHESIZE / "identities")
    people = people.groupby(["gender", "age_group"]).head(plain.per_cell)
    count = {}

    def faces() -> Iterator[pd.DataFrame]:
        for name, sources, operator in (
            ("edited", neutral, EditOperator(generator, published)),
            ("synthetic", people, EditOperator(generator, published, noise)),
        ):
            plan = plan_edits(sources, **variants)
            count[name] = len(plan)
            yield from operate(operator, plan, compute, f"plain {name}")

    total = write_shards(faces(), out / "faces", GENERATED_SCHEMA)
    return {"generated": total} | count


def read_neutral(
    dataset: str, generator: Generator, per_subject: int, compute: Compute
) -> pd.DataFrame:
    """Neutral training faces of each person with ``z`` and ``x_t``."""
    columns = ["sample_id", "dataset", "subject_id", "split", "image", *LABELS]
    (train,) = read_splits(dataset, ("train",), columns)
    chosen = neutral_faces(train, per_subject, neutral_aus(dataset)).reset_index(drop=True)

    def invert(batch: pd.DataFrame) -> pd.DataFrame:
        images = to_tensor(decode_images(batch, str(INGEST / dataset)))
        codes = generator.invert(images, generator.encode(images))
        return batch.drop(columns="image").assign(**codes.to_columns())

    return pd.concat(operate(invert, chosen, compute, "invert"), ignore_index=True)


if __name__ == "__main__":
    main("plain", run)
