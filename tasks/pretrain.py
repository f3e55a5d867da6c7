"""Pretrain the network of the detectors on unlabelled faces by NNCLR.

    python -m tasks.pretrain [--device cuda]

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV-D2: the unlabelled
faces are those that the generator was trained on. Datasets of real people have none here, so their
attribute set, which has no AU labels, takes the place.

Reads   data/population, data/ingest; params datasets, pretrain.
Writes  data/pretrain/ (model.safetensors, config.json, history.csv), metrics.json.
"""

from pathlib import Path
from typing import Any

from facsimile.detection.nnclr import NNCLRTraining
from facsimile.faces.picture_store import picture_store
from facsimile.faces.tables import read_located
from tasks.params import DatasetsParams, PretrainParams
from tasks.shared.artefacts import INGEST, POPULATION, UNLABELLED, select_split
from tasks.shared.stage import Compute, main, progress


def run(
    out: Path, compute: Compute, datasets: DatasetsParams, pretrain: PretrainParams
) -> dict[str, Any]:
    """Train on all unlabelled faces."""
    path = POPULATION / UNLABELLED
    if not path.exists():
        path = INGEST / datasets.attributes
    faces = select_split(read_located(path, ["sample_id", "split"]), "train", path)
    training = NNCLRTraining(**pretrain.model_dump(), device=compute.device)
    with picture_store(out, progress) as store:
        images = store.decode(faces)
        with progress("pretrain", pretrain.steps, "steps") as advance:
            model = training.run(images, on_step=lambda _: advance(1)).to("cpu")
    model.save(out)
    model.history_.to_csv(out / "history.csv", index=False)
    return {"loss": float(model.history_["loss"].iloc[-1]), "faces": len(images)}


if __name__ == "__main__":
    main("pretrain", run)
