"""Train detectors on real faces and on faces edited by one editor, and record their predictions.

    python -m tasks.editor_trials NAME [--device cuda] [--workers N]

Reads   data/ingest, data/encode, data/neutral, data/editors, data/generator, data/population;
        params datasets, sampling, edit, detector, trials.
Writes  data/editor_trials/NAME/faces (GENERATED_SCHEMA), seed-<n>/ (model.safetensors, config.json,
        history.csv), predictions.parquet (validation and test people, other datasets, population),
        metrics.json.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facsimile.benchmark import CONTESTANTS
from facsimile.editing import EditOperator, load_editor
from facsimile.faces.annotation import keep_labels
from facsimile.faces.tables import GENERATED_SCHEMA, read_located, write_shards
from tasks.helpers.codes import read_editable, read_neutral
from tasks.helpers.detectors import COLUMNS, fit, fit_all, seed_folders, stored_faces
from tasks.helpers.edit_plan import plan_real_edits
from tasks.helpers.generator_loading import load_generator
from tasks.helpers.measured_faces import predict
from tasks.params import DatasetsParams, DetectorParams, EditParams, SamplingParams, TrialsParams
from tasks.shared.artefacts import EDITORS_FOLDER, learned_aus, read_splits
from tasks.shared.stage import Compute, main, operate


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    sampling: SamplingParams,
    edit: EditParams,
    detector: DetectorParams,
    trials: TrialsParams,
    item: str,
) -> dict[str, Any]:
    """Edit the same faces to the same AUs as stage `edit`; labels are the planned AUs."""
    editor = load_editor(EDITORS_FOLDER / item)
    sources = [read_editable(datasets.aus, "train"), read_neutral(datasets.attributes)]
    plan = plan_real_edits(pd.concat(sources, ignore_index=True), edit, editor.aus)
    operator = EditOperator(load_generator(compute, sampling), editor)
    faces = write_shards(operate(operator, plan, compute, item), out / "faces", GENERATED_SCHEMA)

    aus = learned_aus(datasets.aus)
    real, val = read_splits(datasets.aus, ("train", "val"), COLUMNS)
    rows = pd.concat([real, read_located(out / "faces", COLUMNS)], ignore_index=True)
    tables = [keep_labels(part, aus) for part in (rows, val)]
    options = detector.model_dump()
    with stored_faces(out, tables) as (labelled, held_out):
        jobs = [
            partial(fit, out / f"seed-{seed}", labelled, held_out, options | {"seed": seed})
            for seed in trials.seeds
        ]
        losses = [loss for _, loss in fit_all(jobs, compute, item)]
    predictions = predict({item: seed_folders(out)}, datasets, compute, out)[item]
    predictions.to_parquet(out / "predictions.parquet", index=False)
    return {"val_loss": float(np.mean(losses)), "detectors": len(jobs), "faces": faces}


if __name__ == "__main__":
    main(
        "editor_trials",
        run,
        items=[name for name, contestant in CONTESTANTS.items() if not contestant.changed],
    )
