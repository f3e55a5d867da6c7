"""Sample new identities, balanced over gender and age group, neutralize and edit them.

    python -m tasks.synthesize [--device cuda] [--batch-size N]

Reads   data/ingest, data/encode, data/neutralizer, data/editor, data/generator; params
        datasets, sampling, synthesize.
Writes  data/synthesize/identities/part-*.parquet (IDENTITY_SCHEMA: sampled and neutral faces),
        faces/part-*.parquet (GENERATED_SCHEMA), metrics.json.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from facsimile.editing import EditOperator, Neutralizer, load_editor, plan_edits
from facsimile.faces.annotation import drop_unknown_labels
from facsimile.faces.aus import AUS
from facsimile.faces.tables import GENERATED_SCHEMA, write_shards
from facsimile.synthesis import (
    IDENTITY_SCHEMA,
    IdentityOperator,
    sample_identities,
)
from tasks.helpers.editable import editable_aus, report_skipped_aus
from tasks.helpers.generator_loading import load_generator
from tasks.helpers.new_people import fit_demographics, fit_noise
from tasks.params import DatasetsParams, SamplingParams, SynthesizeParams
from tasks.shared.artefacts import EDITOR, NEUTRALIZER_FILE
from tasks.shared.stage import Compute, main, operate


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    sampling: SamplingParams,
    synthesize: SynthesizeParams,
) -> dict[str, Any]:
    """Sample, neutralize and edit; demographics are predicted by models of the attribute set."""
    generator = load_generator(compute, sampling)
    demographics = fit_demographics(datasets, generator)
    sampled = sample_identities(
        generator,
        demographics,
        synthesize.per_cell,
        seed=synthesize.seed,
        max_draws=synthesize.max_draws,
    )
    noise = fit_noise(datasets)
    neutralize = IdentityOperator(generator, Neutralizer.load(NEUTRALIZER_FILE), noise)
    identities = pd.concat(operate(neutralize, sampled, compute, "neutralize"), ignore_index=True)
    write_shards([identities], out / "identities", IDENTITY_SCHEMA)

    aus = editable_aus(synthesize.aus)
    report_skipped_aus(synthesize.aus, aus)
    plan = plan_edits(identities, **synthesize.variants() | {"aus": aus})
    absent = identities.set_index("sample_id")[list(AUS)] == 0  # null where N does not cover an AU
    operator = EditOperator(generator, load_editor(EDITOR), noise)
    faces: Iterator[pd.DataFrame] = (
        drop_unknown_labels(batch, absent)
        for batch in operate(operator, plan, compute, "synthesize")
    )
    count = write_shards(faces, out / "faces", GENERATED_SCHEMA)
    # Ids are numbered by draw, so the last number gives the number of draws.
    draws = int(sampled["sample_id"].iloc[-1].rsplit("/", 1)[1]) + 1
    metrics = {
        "synthesized": count,
        "identities": len(identities),
        "draws": draws,
        "accepted_share": len(identities) / draws,
        "neutral_converged": identities["neutral_converged"].mean(),
        "neutral_distance": identities["neutral_distance"].mean(),
        "residual_au": identities["residual_au"].mean(),
        "demographic_accuracy": demographics.accuracy_,
    }
    return metrics if aus == synthesize.aus else metrics | {"aus": len(aus)}


if __name__ == "__main__":
    main("synthesize", run)
