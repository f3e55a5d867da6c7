"""Labels of generated faces: what was intended, corrected by what an estimator reads.

An edit reaches its level on average, not on each face: the decoder does not follow every step as
far, and a neutralized face keeps a trace of an expression. What was intended and what is read err
for different reasons, so that together they are closer to what shows than either alone.
"""

import numpy as np

from facsimile.errors import FacsimileError

MIN_PEARSON = 0.75
"""Correlation with labels of unseen people from which a reading can stand alone.

An estimator that reads an AU worse finds little of it even where it is plain to see."""


def corrected_labels(intended: np.ndarray, readings: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """``y_k = i_k + r_k² / (1 + r_k²) · (reading_k − i_k)``, (N, 12) float32 in [0, 1].

    The weights of intention and reading are as 1 : r_k², the share of the reading that is no noise
    on people whom the estimator has not seen.

    Args:
        intended: AU intensities (N, 12) in [0, 1]; NaN where nobody knows, as of AUs which an edit
            moves along.
        readings: of the faces (N, 12), unclipped; NaN for AUs that the estimator cannot read.
        trust: r_k (12,), correlation of readings and labels of people the estimator has not seen;
            NaN where it is unknown. Below 0 it counts as 0.

    Returns:
        Labels; where nobody knows what was intended, the reading itself, or NaN for AUs with a
        trust below ``MIN_PEARSON``.

    Raises:
        FacsimileError: arguments of different shapes.
    """
    if not intended.shape == readings.shape == (len(intended), len(trust)):
        raise FacsimileError(
            f"labels: shapes {intended.shape}, {readings.shape} and {trust.shape} do not match"
        )
    readings = np.clip(readings, 0.0, 1.0)
    power = np.clip(np.nan_to_num(trust), 0.0, 1.0) ** 2
    labels = intended + power / (1.0 + power) * (readings - intended)
    labels = np.where(np.isnan(readings), intended, labels)
    alone = np.where(trust >= MIN_PEARSON, readings, np.nan)
    return np.where(np.isnan(intended), alone, labels).astype(np.float32)
