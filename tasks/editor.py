"""Fit the editor that changes Action Units.

    python -m tasks.editor [--device cuda]

Reads   data/ingest, data/encode, data/neutralizer, data/generator, data/config/au_graph.yaml;
        params datasets, sampling, editor.
Writes  data/editor/editor.json (name of the editor), its fitted parameters (linear editor:
        directions.parquet and rises.parquet), metrics.json.
"""

from pathlib import Path
from typing import Any

from facsimile.editing import EDITORS, save_editor
from facsimile.faces.aus import AUS
from tasks.helpers.editor_data import read_editor_data
from tasks.helpers.generator_loading import load_generator
from tasks.params import DatasetsParams, EditorParams, SamplingParams
from tasks.shared.stage import Compute, main, progress


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    sampling: SamplingParams,
    editor: EditorParams,
) -> dict[str, Any]:
    """Fit on the training splits of both datasets; calibrate on validation faces of the AU set."""
    generator = load_generator(compute, sampling)
    data = read_editor_data(datasets, generator)
    fitted = EDITORS[editor.method](editor.options).fit(data, generator, progress)
    save_editor(fitted, out)
    metrics = fitted.metrics()
    return metrics if fitted.aus == AUS else metrics | {"aus": len(fitted.aus)}


if __name__ == "__main__":
    main("editor", run)
