"""Labels of generated faces: the requested intensities, corrected by an AU reader.

An edit reaches its level on average, not on each face: the decoder does not follow every step
equally far, and a neutralized face keeps a trace of its expression. The request and the reading err
for different reasons, so their weighted mean is closer to the truth than either alone.
"""

from typing import Self

import numpy as np

from facsimile.errors import FacsimileError
from facsimile.faces.annotation import presence
from facsimile.measurement.metrics import choose_thresholds, pearson_per_au

MIN_PEARSON = 0.75
"""Correlation with labels of unseen people above which a reading can stand alone.

A reader that does worse on an AU misses it on most faces that show it."""


class LabelCorrector:
    """Combines requested AU intensities with the readings of an AU reader.

    Fitted on people the reader has not seen, because its errors on them are those it makes on
    generated faces.

    Attributes:
        pearson_: r_k (12,), correlation of readings and labels; NaN where undefined.
        thresholds_: (12,), reading above which an AU counts as detected.
    """

    def fit(self, labels: np.ndarray, readings: np.ndarray) -> Self:
        """Measure the reader.

        Args:
            labels: AU intensities (M, 12) of validation faces, NaN = not annotated.
            readings: the reader's intensities (M, 12) of the same faces.
        """
        self.pearson_ = pearson_per_au(labels, readings)
        self.thresholds_ = choose_thresholds(labels, readings)
        return self

    def correct(
        self, requested: np.ndarray, readings: np.ndarray, presence_only: np.ndarray | None = None
    ) -> np.ndarray:
        """``y_k = i_k + r_k² / (1 + r_k²) · (reading_k − i_k)``, (N, 12) float32 in [0, 1].

        Request i_k and reading are weighted 1 : r_k², where r_k² is the share of the reading's
        variance that is signal. A negative r_k counts as 0.

        Args:
            requested: AU intensities (N, 12) in [0, 1]; NaN where unknown, as for AUs that an edit
                may move along.
            readings: intensities (N, 12), unclipped; NaN for AUs that the reader has not learnt.
            presence_only: (N,) bool, faces whose request says only that an AU is present; they keep
                it.

        Returns:
            Labels. Where the request is unknown, the label is the reading, or NaN for AUs with
            ``pearson_`` below ``MIN_PEARSON``.

        Raises:
            FacsimileError: arguments of different shapes.
        """
        if not requested.shape == readings.shape == (len(requested), len(self.pearson_)):
            raise FacsimileError(
                f"labels: shapes {requested.shape}, {readings.shape} and {self.pearson_.shape} "
                "do not match"
            )
        readings = np.clip(readings, 0.0, 1.0)
        power = np.clip(np.nan_to_num(self.pearson_), 0.0, 1.0) ** 2
        labels = requested + power / (1.0 + power) * (readings - requested)
        labels = np.where(np.isnan(readings), requested, labels)
        alone = np.where(self.pearson_ >= MIN_PEARSON, readings, np.nan)
        labels = np.where(np.isnan(requested), alone, labels).astype(np.float32)
        if presence_only is None:
            return labels
        return np.where(np.asarray(presence_only, bool)[:, None], requested, labels)

    def detect(self, readings: np.ndarray) -> np.ndarray:
        """Presence (N, 12) of the AUs: 1.0, 0.0, or NaN for AUs the reader cannot read.

        Args:
            readings: intensities (N, 12).
        """
        readable = self.pearson_ >= MIN_PEARSON
        return np.where(readable, presence(readings, self.thresholds_), np.nan)
