"""Transfer annotated expressions to other people.

    python -m tasks.transfer [--device cuda] [--batch-size N]

Reads   data/ingest, data/encode, data/generator; params datasets, sampling, transfer.
Writes  data/transfer/faces/part-*.parquet (GENERATED_SCHEMA), metrics.json.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facsimile.editing import TransferOperator, person_codes, plan_transfers
from facsimile.generator import DiffAEPipeline
from facsimile.generator.pipeline import WEIGHTS_FILE
from facsimile.tables import GENERATED_SCHEMA, read_faces, read_table, write_shards
from tasks.data import ENCODE, GENERATOR, INGEST, LABELS, load_generator, md5, of_split
from tasks.params import Datasets, Sampling, Transfer
from tasks.stage import Compute, main, operate


def run(
    out: Path, compute: Compute, datasets: Datasets, sampling: Sampling, transfer: Transfer
) -> dict[str, Any]:
    """Move training faces of the AU set towards training people of the attribute set."""
    plan = plan_all(datasets, transfer)
    operator = load_operator(datasets, load_generator(compute, sampling), sampling.steps)
    images = read_faces(INGEST / datasets.aus, ["sample_id", "image"]).set_index("sample_id")
    plan = plan.assign(image=images["image"].reindex(plan["source_id"]).to_numpy())
    faces = operate(operator, plan, compute, "transfer")
    return {
        "transferred": write_shards(faces, out / "faces", GENERATED_SCHEMA),
        "of": plan["source_id"].nunique(),
        "donors": plan["donor"].nunique(),
        "mean_strength": plan["strength"].mean(),
    }


def plan_all(datasets: Datasets, transfer: Transfer) -> pd.DataFrame:
    """Planned rows with the raw ``z_sem`` of their sources."""
    faces, donors = encoded_people(datasets)
    return plan_transfers(faces, donors["subject_id"], **transfer.variants())


def load_operator(datasets: Datasets, pipeline: DiffAEPipeline, steps: int) -> TransferOperator:
    """The operator of this run, with the mean code of every person it may meet."""
    people = pd.concat(encoded_people(datasets)).drop_duplicates("sample_id")
    return TransferOperator(
        pipeline,
        person_codes(np.stack(people["z_sem"]), people["subject_id"]),
        steps=steps,
        generator_md5=md5(GENERATOR / WEIGHTS_FILE),
    )


def encoded_people(datasets: Datasets) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training faces with raw ``z_sem``, of the AU set and of the attribute set."""
    columns = ["sample_id", "dataset", "subject_id", "split", "au_presence_only", *LABELS]
    tables = []
    for name in (datasets.aus, datasets.attributes):
        faces = of_split(read_faces(INGEST / name, columns), "train", INGEST / name)
        latents = read_table(ENCODE / name, ["sample_id", "z_sem"])
        tables.append(faces.merge(latents, on="sample_id", validate="one_to_one"))
    return tables[0], tables[1]


if __name__ == "__main__":
    main("transfer", run)
