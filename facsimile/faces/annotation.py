"""Partial annotations: which AUs a face table is annotated for.

A table may lack annotations of some AUs or of some faces. Missing annotations are null, also on
generated faces, and are ignored; 0 always means that an AU is known to be absent.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS

MIN_PEOPLE = 8
"""Minimum number of people with several faces each, needed to learn identity verification."""

_MOST = 0.5


def presence(aus: ArrayLike, threshold: ArrayLike = ACTIVE_THRESHOLD) -> np.ndarray:
    """1.0 if present, 0.0 if absent, NaN if not annotated, for intensities (N, K).

    Args:
        aus: intensities or estimates (N, K).
        threshold: one threshold, or one per column.
    """
    aus = np.asarray(aus, np.float64)
    # Tolerance, because 0.1 in float32 differs slightly from 0.1 in float64.
    present = (aus >= np.asarray(threshold, np.float64) - 1e-6).astype(np.float64)
    return np.where(np.isnan(aus), np.nan, present)


def annotated_aus(labels: ArrayLike) -> tuple[str, ...]:
    """AUs that are annotated as absent on at least one face.

    Excludes AUs active on every annotated face, because then no face is known to be neutral.

    Args:
        labels: intensities (N, 12) in the order of ``AUS``, NaN = not annotated.
    """
    return _select((presence(labels) == 0).any(axis=0))


def learnable_aus(labels: ArrayLike) -> tuple[str, ...]:
    """AUs that are annotated as absent on at least one face and as present on another.

    Args:
        labels: as in `annotated_aus`.
    """
    truth = presence(labels)
    return _select((truth == 0).any(axis=0) & (truth == 1).any(axis=0))


def mostly_annotated_aus(labels: ArrayLike) -> tuple[str, ...]:
    """The `annotated_aus` that are annotated on at least half of the annotated faces.

    Returns all `annotated_aus` if there are none. Neutral faces must have labels of these AUs.
    Requiring rarely annotated AUs as well would exclude most faces.

    Args:
        labels: as in `annotated_aus`.
    """
    known = ~np.isnan(np.asarray(labels, float))
    frequent = known.sum(axis=0) >= _MOST * known.any(axis=1).sum()
    annotated = annotated_aus(labels)
    return tuple(au for au in annotated if frequent[AUS.index(au)]) or annotated


def keep_labels(faces: pd.DataFrame, aus: tuple[str, ...]) -> pd.DataFrame:
    """Keep the labels of `aus`; set those of other AUs to null."""
    others = {au: np.float32(np.nan) for au in AUS if au not in aus and au in faces.columns}
    return faces.assign(**others) if others else faces


def keep_readings(readings: np.ndarray, aus: tuple[str, ...]) -> np.ndarray:
    """Keep the readings (N, 12) of `aus`; set those of other AUs to NaN."""
    return np.where(np.isin(AUS, aus), readings, np.float32(np.nan))


def drop_unknown_labels(edited: pd.DataFrame, absent: pd.DataFrame) -> pd.DataFrame:
    """Set labels of edited faces to null for AUs that were not set but may be present.

    Args:
        edited: edited faces, with label 0 for AUs that were not set.
        absent: whether each of ``AUS`` is known to be absent, indexed by sample_id of the source.
    """
    labels = edited[list(AUS)]
    known = absent.loc[edited["source_id"]].to_numpy(bool) | (labels > 0).to_numpy()
    return edited.assign(**labels.where(known))


def explain_unused_aus(labels: ArrayLike, used: tuple[str, ...]) -> str:
    """AUs not in `used`, with reasons: ``AU01, AU02: not annotated; AU09: on no annotated face``.

    Args:
        labels: as in `annotated_aus`.
        used: AUs in use.
    """
    truth = presence(labels)
    reasons: dict[str, list[str]] = {}
    for au, column in zip(AUS, truth.T, strict=True):
        if au in used:
            continue
        known = column[~np.isnan(column)]
        if not known.size:
            reason = "not annotated"
        elif not known.any():
            reason = "on no annotated face"
        else:
            reason = "on every annotated face" if known.all() else "annotated on few faces"
        reasons.setdefault(reason, []).append(au)
    return "; ".join(f"{', '.join(aus)}: {reason}" for reason, aus in reasons.items())


def _select(is_selected: np.ndarray) -> tuple[str, ...]:
    return tuple(au for au, selected in zip(AUS, is_selected, strict=True) if selected)
