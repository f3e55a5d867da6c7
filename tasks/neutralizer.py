"""Train the neutralization network N on latent codes.

    python -m tasks.neutralizer [--device cuda]

Reads   data/ingest, data/encode; params datasets, neutralizer.
Writes  data/neutralizer/neutralizer.safetensors, history.csv, metrics.json.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facsimile.editing import NeutralizerTraining
from facsimile.faces.annotation import keep_labels
from facsimile.faces.aus import AUS
from tasks.helpers.codes import read_codes, stack_codes
from tasks.params import DatasetsParams, NeutralizerParams
from tasks.shared.artefacts import LABELS, learned_aus
from tasks.shared.stage import Compute, main


def run(
    out: Path, compute: Compute, datasets: DatasetsParams, neutralizer: NeutralizerParams
) -> dict[str, Any]:
    """Train on the AU and attribute sets; stop early by AU recall on validation faces."""
    names = dict.fromkeys((datasets.aus, datasets.attributes))
    aus = learned_aus(datasets.aus)
    columns = ["sample_id", "split", *LABELS]
    faces = pd.concat([read_codes(name, columns) for name in names], ignore_index=True)
    faces = keep_labels(faces, aus)
    z, labels = stack_codes(faces["z"]), faces[LABELS].to_numpy(np.float32)
    train, val = (faces["split"].to_numpy() == split for split in ("train", "val"))
    training = NeutralizerTraining(**neutralizer.model_dump(), device=compute.device)
    model = training.run(z[train], labels[train], z[val], labels[val])
    model.to("cpu").save(out / "neutralizer.safetensors")
    history = model.history_
    history.to_csv(out / "history.csv", index=False)
    last = history.iloc[-1]
    metrics = {
        "recall": last["recall"],
        "precision": last["precision"],
        "val_au_loss": last["val_au_loss"],
        "val_static_loss": last["val_static_loss"],
        "epochs": len(history),
    }
    return metrics if aus == AUS else metrics | {"aus": len(aus)}


if __name__ == "__main__":
    main("neutralizer", run)
