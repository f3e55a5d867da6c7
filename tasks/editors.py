"""Fit one editor for the comparison of editors.

    python -m tasks.editors NAME [--device cuda]

Reads   data/ingest, data/encode, data/neutralizer, data/generator, data/config/au_graph.yaml;
        params datasets, sampling, editor.
Writes  data/editors/NAME/editor.json, the fitted parameters, metrics.json.
"""

import time
from pathlib import Path
from typing import Any

from facsimile.benchmark import CONTESTANTS
from facsimile.editing import EDITORS, save_editor
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
    item: str,
) -> dict[str, Any]:
    """Fit as stage `editor` does, with the options of the contestant."""
    contestant = CONTESTANTS[item]
    generator = load_generator(compute, sampling)
    data = read_editor_data(datasets, generator)
    options = editor.options_of(contestant.method).model_copy(update=dict(contestant.changed))
    begin = time.process_time()
    fitted = EDITORS[contestant.method](options).fit(data, generator, progress)
    save_editor(fitted, out)
    return {"processor_seconds": round(time.process_time() - begin, 1)} | fitted.metrics()


if __name__ == "__main__":
    main("editors", run, items=CONTESTANTS)
