"""How well described faces, their labels and their prompts agree.

Source: "MAUGen: A Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label
Generation" (Li et al., 2026), 4.3: F1, ICC and MAE against the prompt, variance of labels over
identities, similarity of identities over prompts, sensitivity to the prompt.
"""

import numpy as np
from numpy.typing import ArrayLike

from facsimile.faces.annotation import presence
from facsimile.measurement import f1_per_au, icc_3_1, mean_defined, pearson_per_au


def agreement(
    wanted: ArrayLike, found: ArrayLike, thresholds: ArrayLike | None = None
) -> dict[str, float]:
    """F1 of occurrence, ICC(3,1), Pearson r and mean absolute error of intensities, mean over AUs.

    Args:
        wanted: intensities (N, 12) of the prompt.
        found: intensities (N, 12) of labels or of a reader; clipped to [0, 1].
        thresholds: intensities (12,) from which the reader detects an AU; None for labels.
    """
    found = np.clip(np.asarray(found, np.float64), 0, 1)
    detected = presence(found) if thresholds is None else presence(found, thresholds)
    return {
        "f1": mean_defined(f1_per_au(presence(wanted), detected)),
        "icc": mean_defined(icc_3_1(wanted, found)),
        "pearson": mean_defined(pearson_per_au(wanted, found)),
        "mae": float(np.abs(np.asarray(wanted) - found).mean()),
    }


def spread_within(values: np.ndarray, groups: np.ndarray) -> float:
    """Standard deviation of values (N, K) within groups (N,), mean over groups and columns."""
    return float(
        np.mean([values[groups == group].std(axis=0).mean() for group in np.unique(groups)])
    )


def identity_similarity(embeddings: np.ndarray, people: np.ndarray) -> dict[str, float]:
    """Mean cosine similarity of unit vectors (N, E) of the same person and of different people."""
    similarity = embeddings @ embeddings.T
    first, second = np.triu_indices(len(embeddings), 1)
    same = people[first] == people[second]
    values = similarity[first, second]
    return {"same": float(values[same].mean()), "different": float(values[~same].mean())}
