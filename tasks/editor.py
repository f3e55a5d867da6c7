"""Fit the editor that changes Action Units of faces.

    python -m tasks.editor [--device cuda]

Reads   data/ingest, data/encode, data/generator, data/config/au_graph.yaml; params datasets,
        sampling, editor.
Writes  data/editor/directions.parquet (DIRECTION_SCHEMA), rises.parquet (what edits of growing
        length did to readings), metrics.json.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facsimile.detection import LabelledFaces, OracleTraining
from facsimile.editing import (
    CausalGraph,
    Directions,
    crosstalk,
    edited_rise,
    fit_directions,
    image_scales,
    real_rise,
    stretch,
    unmix,
)
from facsimile.errors import FacsimileError
from facsimile.faces.annotation import only
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.tables import decode_images, evenly_spaced
from facsimile.generator import Codes, Generator
from facsimile.measurement import pearson_per_au
from tasks.helpers.data import load_generator, read_editable, read_encoded, stack, tell_aus
from tasks.params import Datasets, Editor, LinearEditor, Sampling
from tasks.shared.artefacts import AU_GRAPH, read_splits, taught_aus
from tasks.shared.stage import Compute, main, progress


def run(
    out: Path, compute: Compute, datasets: Datasets, sampling: Sampling, editor: Editor
) -> dict[str, Any]:
    """Fit on the training split of the AU set, nuisances on that of the attribute set.

    Validation faces set the length.
    """
    generator = load_generator(compute, sampling)
    options = editor.linear
    aus = taught_aus(datasets.aus)
    faces = read_encoded(datasets.aus, generator, "train")
    if options.within_subject:
        aus = shown_more_or_less(faces, aus)
    faces = only(faces, aus)
    attributes = read_encoded(datasets.attributes, generator, "train")
    fitted = fit_directions(
        stack(faces["z"]),
        faces[list(AUS)].to_numpy(float),
        faces["subject_id"].to_numpy(),
        CausalGraph.from_yaml(AU_GRAPH),
        z_nuisance=stack(attributes["z"]),
        nuisances=attributes[list(NUISANCES)].to_numpy(float),
        subjects_nuisance=attributes["subject_id"].to_numpy(),
        **options.model_dump(exclude={"calibration"}),
    )
    rises, wanted, trust = measure(fitted, generator, compute, datasets, options)
    rises.reset_index().to_parquet(out / "rises.parquet", index=False)
    scales = image_scales(rises, np.diag(wanted))
    shares = crosstalk(rises, scales, wanted, trust, fitted)
    fitted = unmix(stretch(fitted, scales), shares)
    fitted.save(out / "directions.parquet")
    own = fitted.table[fitted.table["kind"] == "au"]
    cosines = fitted.cosines().loc[list(fitted.aus), list(fitted.aus)].to_numpy()
    others = np.abs(cosines[~np.eye(len(cosines), dtype=bool)])
    metrics = {
        "pearson": float(own["pearson"].mean()),
        "length": float(own["length"].mean()),
        "image_scale": float(own["image_scale"].mean()),
        "crosstalk": float(shares.abs().to_numpy().sum() / max(shares.size - len(shares), 1)),
        "kept_by_projection": float((own["norm_after"] / own["norm_before"]).mean()),
        "cosine": float(others.mean()) if others.size else np.nan,
    }
    return metrics if aus == AUS else metrics | {"aus": len(aus)}


def shown_more_or_less(faces: pd.DataFrame, aus: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `aus` that somebody shows more on one face than on another; says which are not.

    Raises:
        FacsimileError: there is none.
    """
    varies = faces.groupby("subject_id")[list(aus)].nunique().gt(1).any()
    kept = tuple(au for au in aus if varies[au])
    tell_aus(aus, kept, "no person shows it more on one face than on another")
    if not kept:
        raise FacsimileError(
            "params.yaml: editor.linear.within_subject is true, but no person shows an AU more on "
            "one face than on another; set it to false"
        )
    return kept


def measure(
    fitted: Directions,
    generator: Generator,
    compute: Compute,
    datasets: Datasets,
    options: LinearEditor,
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The rises that an estimator of training people sees in edited and in real validation faces,
    and its correlation with the labels of these.

    The estimator has the network of the oracle, whose readings keep rising where edits go beyond
    what real faces show; those of a detector do not.
    """
    columns = ["sample_id", "subject_id", "split", "image", *AUS]
    train, val = read_splits(datasets.aus, ("train", "val"), columns)
    images, aus = decode_images(val), val[list(AUS)].to_numpy(np.float32)
    epochs = options.calibration.epochs
    with progress("train the reader", epochs, "epochs") as advance:
        training = OracleTraining(options.seed, epochs, device=compute.device)
        reader = training.fit(
            LabelledFaces.from_rows(train),
            LabelledFaces(images, aus),
            on_epoch=lambda _: advance(1),
        )
    wanted = real_rise(images, aus, val["subject_id"].to_numpy(), reader.aus)
    neutral = read_editable(datasets.aus, "val")
    if neutral.empty:
        raise FacsimileError(
            "params.yaml: encode.neutral_per_subject.val is 0, but directions are calibrated on "
            "inverted faces of the validation split"
        )
    examples = Codes.from_table(evenly_spaced(neutral, options.calibration.faces))
    rises = edited_rise(fitted, generator, examples, reader.aus, options.calibration.scales)
    return rises, wanted, pearson_per_au(aus, reader.aus(images))


if __name__ == "__main__":
    main("editor", run)
