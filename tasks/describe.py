"""Generate labelled faces from sentences.

    python -m tasks.describe [--device cuda] [--batch-size N]

Reads   data/describer, data/generator; params sampling, describe.
Writes  data/describe/faces/part-*.parquet (GENERATED_SCHEMA), words/part-*.parquet (WORDS_SCHEMA:
        prompts and descriptions), people/part-*.parquet (sample_id and z of the neutral people),
        metrics.json.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from facsimile.describing import (
    DescribedFacesOperator,
    Describer,
    person_name,
    plan_described,
)
from facsimile.faces.tables import GENERATED_SCHEMA, write_shards
from facsimile.language import WORDS_SCHEMA, understand
from tasks.helpers.generator_loading import load_generator
from tasks.params import DescribeParams, SamplingParams
from tasks.shared.artefacts import DESCRIBER
from tasks.shared.stage import Compute, main, operate

PEOPLE_SCHEMA = pa.schema([("sample_id", pa.string()), ("z", pa.list_(pa.float32()))])


def run(
    out: Path, compute: Compute, sampling: SamplingParams, describe: DescribeParams
) -> dict[str, Any]:
    """Generate faces of each prompt; without prompts, the tables are empty."""
    words: list[pd.DataFrame] = []
    people: list[pd.DataFrame] = []

    def faces() -> Iterator[pd.DataFrame]:
        if not describe.prompts:
            return
        generator = load_generator(compute, sampling)
        describer = Describer.load(DESCRIBER, compute.device)
        plan = plan_described(
            [understand(prompt) for prompt in describe.prompts],
            describe.each,
            describer,
            describe.seed,
        )
        rows = plan["person"].unique()
        people.append(
            pd.DataFrame(
                {
                    "sample_id": [person_name(row) for row in rows],
                    "z": list(describer.bank.z[rows].numpy()),
                }
            )
        )
        operator = DescribedFacesOperator(generator, describer)
        for batch in operate(operator, plan, compute, "describe"):
            words.append(batch[WORDS_SCHEMA.names])
            yield batch

    count = write_shards(faces(), out / "faces", GENERATED_SCHEMA)
    write_shards(words, out / "words", WORDS_SCHEMA)
    write_shards(people, out / "people", PEOPLE_SCHEMA)
    if not count:
        return {"described": 0}
    agreement = pd.concat(words)["prompt_jaccard"]
    return {
        "described": count,
        "prompts": len(describe.prompts),
        "people": len(people[0]),
        "prompt_jaccard": agreement.mean(),
    }


if __name__ == "__main__":
    main("describe", run)
