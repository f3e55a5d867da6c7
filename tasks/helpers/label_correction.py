"""Fit the corrector of labels of generated faces."""

import numpy as np

from facsimile.detection import AUEnsemble
from facsimile.faces.annotation import keep_labels
from facsimile.faces.aus import AUS
from facsimile.filtering import LabelCorrector
from tasks.helpers.image_readings import read_images
from tasks.shared.artefacts import learned_aus, read_splits


def fit_corrector(reader: AUEnsemble, dataset: str) -> LabelCorrector:
    """Fit the label corrector to the errors of the AU detectors on validation faces."""
    (val,) = read_splits(dataset, ("val",), ["sample_id", "subject_id", "split", *AUS])
    labels = keep_labels(val, learned_aus(dataset))[list(AUS)].to_numpy(np.float32)
    (readings,) = read_images(lambda images: (reader.predict(images),), val)
    return LabelCorrector().fit(labels, readings)
