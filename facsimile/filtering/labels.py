"""Labels of generated faces: the requested intensities, corrected by an AU reader.

An edit reaches the requested intensity on average, not on each face: the decoder follows some
codes more closely than others, and neutralized faces keep traces of their expression. Request and
reading have different sources of error, so their weighted mean is closer to the truth than either.
"""

from typing import Self

import numpy as np

from facsimile.errors import FacsimileError
from facsimile.faces.annotation import presence
from facsimile.measurement.metrics import choose_thresholds, pearson_per_au

MIN_PEARSON = 0.75
"""Correlation with labels of held-out people at which a reading can replace an unknown label.

Below it, the reader misses the AU on most faces that show it."""


class LabelCorrector:
    """Combines requested AU intensities with the readings of an AU reader.

    Fit it on people that the reader was not trained on: its errors on them are representative of
    its errors on generated faces.

    Attributes:
        pearson_: r_k (12,), correlation of readings and labels; NaN where undefined.
        thresholds_: readings (12,) from which an AU counts as detected.
    """

    def fit(self, labels: np.ndarray, readings: np.ndarray) -> Self:
        """Measure the accuracy of the reader.

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
                entails.
            readings: intensities (N, 12), unclipped; NaN for AUs that the reader has not learnt.
            presence_only: (N,) bool, faces whose requests are 0 or 1 for absent or present. Their
                labels stay as requested.

        Returns:
            Corrected labels. Unknown requests are replaced by the reading, or stay NaN for AUs with
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
        signal = np.clip(np.nan_to_num(self.pearson_), 0.0, 1.0) ** 2
        labels = requested + signal / (1.0 + signal) * (readings - requested)
        labels = np.where(np.isnan(readings), requested, labels)
        reliable = np.where(self.pearson_ >= MIN_PEARSON, readings, np.nan)
        labels = np.where(np.isnan(requested), reliable, labels).astype(np.float32)
        if presence_only is None:
            return labels
        return np.where(np.asarray(presence_only, bool)[:, None], requested, labels)

    def detect(self, readings: np.ndarray) -> np.ndarray:
        """AU presence (N, 12): 1.0, 0.0, or NaN for AUs that the reader cannot read.

        Args:
            readings: intensities (N, 12).
        """
        readable = self.pearson_ >= MIN_PEARSON
        return np.where(readable, presence(readings, self.thresholds_), np.nan)
