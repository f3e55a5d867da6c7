"""Edit neutral training faces: each of them to AUs alone and to some AUs at once.

    python -m tasks.edit [--device cuda] [--batch-size N]

Reads   data/ingest, data/encode, data/neutral, data/editor, data/generator; params datasets,
        sampling, edit.
Writes  data/edit/faces/part-*.parquet (GENERATED_SCHEMA), metrics.json.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from facsimile.editing import EditOperator, load_editor, plan_edits
from facsimile.faces.annotation import annotated_aus, label_what_is_known, learnable_aus
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS
from facsimile.faces.tables import GENERATED_SCHEMA, write_shards
from tasks.helpers.codes import read_editable, read_neutral
from tasks.helpers.editable import editable_aus, tell_aus
from tasks.helpers.generator_loading import load_generator
from tasks.params import DatasetsParams, EditParams, SamplingParams
from tasks.shared.artefacts import EDITOR, training_labels, unannotated_ids
from tasks.shared.stage import Compute, main, operate


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    sampling: SamplingParams,
    edit: EditParams,
) -> dict[str, Any]:
    """Edit the training faces that `encode` and `neutral` chose."""
    annotated = read_editable(datasets.aus, "train")
    others = read_neutral(datasets.attributes)
    aus = editable_aus(edit.aus)
    tell_aus(edit.aus, aus)
    # The faces that nobody annotated look neutral to models, which have learnt no AUs but these.
    labels = training_labels(datasets.aus)
    seen = learnable_aus(labels) or annotated_aus(labels)
    absent = pd.concat(
        [
            annotated.set_index("sample_id")[list(AUS)] < ACTIVE_THRESHOLD,
            pd.DataFrame({au: au in seen for au in AUS}, others["sample_id"]),
        ]
    )
    plan = plan_all(pd.concat([annotated, others], ignore_index=True), edit)
    operator = EditOperator(load_generator(compute, sampling), load_editor(EDITOR))
    edited = (
        label_what_is_known(faces, absent) for faces in operate(operator, plan, compute, "edit")
    )
    metrics = {
        "edited": write_shards(edited, out / "faces", GENERATED_SCHEMA),
        "neutral_faces": len(annotated),
        "unannotated_faces": len(others),
        "people": pd.concat([annotated["subject_id"], others["subject_id"]]).nunique(),
        "mean_intensity": plan["intensity"].mean(),
    }
    return metrics if aus == edit.aus else metrics | {"aus": len(aus)}


def plan_all(sources: pd.DataFrame, edit: EditParams) -> pd.DataFrame:
    """Edits of neutral faces, annotated and not; see `facsimile.editing.plan_edits`."""
    unannotated = sources["sample_id"].isin(unannotated_ids())
    aus = editable_aus(edit.aus)
    plans = [
        plan_edits(faces, **edit.variants(annotated=not unknown) | {"aus": aus})
        for unknown, faces in sources.groupby(unannotated)
    ]
    return pd.concat(plans, ignore_index=True)


if __name__ == "__main__":
    main("edit", run)
