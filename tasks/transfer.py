"""Transfer annotated expressions to other people.

    python -m tasks.transfer [--device cuda] [--batch-size N]

Reads   data/ingest, data/encode, data/generator; params datasets, sampling, transfer.
Writes  data/transfer/faces/part-*.parquet (GENERATED_SCHEMA), metrics.json.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from facsimile.editing import TransferOperator, person_codes, plan_transfers
from facsimile.faces.picture_store import picture_store
from facsimile.faces.tables import GENERATED_SCHEMA, write_shards
from facsimile.generator import Generator
from tasks.helpers.codes import read_codes, stack_codes
from tasks.helpers.generator_loading import load_generator
from tasks.params import DatasetsParams, SamplingParams, TransferParams
from tasks.shared.artefacts import INGEST, LABELS, select_split
from tasks.shared.stage import Compute, main, operate, progress


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    sampling: SamplingParams,
    transfer: TransferParams,
) -> dict[str, Any]:
    """Move training faces of the AU set towards training people of the attribute set."""
    faces, donors = encoded_people(datasets)
    plan = plan_transfers(faces, donors["subject_id"], **transfer.variants())
    operator = load_operator(faces, donors, load_generator(compute, sampling))
    sources = pd.DataFrame({"sample_id": plan["source_id"], "table": str(INGEST / datasets.aus)})
    with picture_store(out, progress) as store:
        images = store.decode(sources)
        transferred = operate(
            lambda batch: operator(batch, images[batch["row"].to_numpy()]),
            plan.assign(row=range(len(plan))),
            compute,
            "transfer",
        )
        count = write_shards(transferred, out / "faces", GENERATED_SCHEMA)
    return {
        "transferred": count,
        "of": plan["source_id"].nunique(),
        "donors": plan["donor"].nunique(),
        "mean_strength": plan["strength"].mean(),
    }


def encoded_people(datasets: DatasetsParams) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training faces with their codes ``z``: source faces (AU set) and donors (attribute set)."""
    columns = ["sample_id", "dataset", "subject_id", "split", "au_presence_only", *LABELS]
    faces, donors = (
        select_split(read_codes(name, columns), "train", INGEST / name)
        for name in (datasets.aus, datasets.attributes)
    )
    return faces, donors


def load_operator(
    faces: pd.DataFrame, donors: pd.DataFrame, generator: Generator
) -> TransferOperator:
    """The transfer operator, with the mean code of each person in `encoded_people`."""
    people = pd.concat([faces, donors]).drop_duplicates("sample_id")
    return TransferOperator(generator, person_codes(stack_codes(people["z"]), people["subject_id"]))


if __name__ == "__main__":
    main("transfer", run)
