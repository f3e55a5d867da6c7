"""Edit neutral training faces: activate single AUs and combinations of AUs.

    python -m tasks.edit [--device cuda] [--batch-size N]

Reads   data/ingest, data/encode, data/neutral, data/editor, data/generator; params datasets,
        sampling, edit.
Writes  data/edit/faces/part-*.parquet (GENERATED_SCHEMA), metrics.json.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from facsimile.editing import EditOperator, load_editor
from facsimile.faces.annotation import annotated_aus, drop_unknown_labels, learnable_aus
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS
from facsimile.faces.tables import GENERATED_SCHEMA, write_shards
from tasks.helpers.codes import read_editable, read_neutral
from tasks.helpers.edit_plan import plan_real_edits
from tasks.helpers.editable import editable_aus, report_skipped_aus
from tasks.helpers.generator_loading import load_generator
from tasks.params import DatasetsParams, EditParams, SamplingParams
from tasks.shared.artefacts import EDITOR, training_labels
from tasks.shared.stage import Compute, main, operate


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    sampling: SamplingParams,
    edit: EditParams,
) -> dict[str, Any]:
    """Edit the training faces selected by `encode` and `neutral`."""
    annotated = read_editable(datasets.aus, "train")
    unannotated = read_neutral(datasets.attributes)
    aus = editable_aus(edit.aus)
    report_skipped_aus(edit.aus, aus)
    # Unannotated faces were selected by models, which can only exclude the AUs they learned.
    labels = training_labels(datasets.aus)
    learned = learnable_aus(labels) or annotated_aus(labels)
    absent = pd.concat(
        [
            annotated.set_index("sample_id")[list(AUS)] < ACTIVE_THRESHOLD,
            pd.DataFrame({au: au in learned for au in AUS}, unannotated["sample_id"]),
        ]
    )
    sources = pd.concat([annotated, unannotated], ignore_index=True)
    plan = plan_real_edits(sources, edit, aus)
    operator = EditOperator(load_generator(compute, sampling), load_editor(EDITOR))
    edited = (
        drop_unknown_labels(faces, absent) for faces in operate(operator, plan, compute, "edit")
    )
    metrics = {
        "edited": write_shards(edited, out / "faces", GENERATED_SCHEMA),
        "neutral_faces": len(annotated),
        "unannotated_faces": len(unannotated),
        "people": pd.concat([annotated["subject_id"], unannotated["subject_id"]]).nunique(),
        "mean_intensity": plan["intensity"].mean(),
    }
    return metrics if aus == edit.aus else metrics | {"aus": len(aus)}


if __name__ == "__main__":
    main("edit", run)
