"""Linear predictors of gender and age group on semantic codes.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", III-B: acceptance–
rejection retains the samples for which "the predictors indicate the desired demographic bins".
"""

from collections.abc import Sequence
from typing import Self

import numpy as np

from facsimile.editing.regression import out_of_group, ridge_readouts
from facsimile.errors import FacsimileError
from facsimile.faces.demographics import AGE_CUTS, AGE_GROUPS, GENDER_CUTS, GENDERS


class DemographicPredictors:
    """Ridge predictors of gender and age, with cuts that turn scores into groups.

    Ridge scores shrink to the mean, so applying the cuts of the labels to them would leave the
    outer age groups almost empty. Scores are cut at quantiles instead: each group receives as many
    labelled faces as it truly has, with scores from models that were fitted without those people.

    Args:
        alpha: ridge penalty.

    Attributes:
        vectors_, bias_: scores of male and age are ``z @ vectors_.T + bias_``, (2, D) and (2,).
        cuts_: ascending score thresholds, gender → (1,) and age → (2,).
        accuracy_: gender and age → share of held-out labelled faces assigned to the right group.
    """

    vectors_: np.ndarray
    bias_: np.ndarray
    cuts_: dict[str, np.ndarray]
    accuracy_: dict[str, float]

    def __init__(self, alpha: float = 10.0) -> None:
        self.alpha = alpha

    def fit(
        self, z: np.ndarray, male: np.ndarray, age: np.ndarray, subjects: Sequence[str]
    ) -> Self:
        """Fit on N labelled faces.

        If age labels are only 0 (young) or 1 (old), as in CelebA, no face is labelled middle-aged.
        The middle group then takes the third of each group whose scores are closest to the other.

        Args:
            z: normalised codes (N, D).
            male, age: labels (N,) in [0, 1], NaN = not annotated.
            subjects: N subject ids.

        Raises:
            FacsimileError: no male, no female, no young or no old face.
        """
        z, labels = np.asarray(z, np.float64), np.column_stack([male, age]).astype(np.float64)
        scores = out_of_group(z, labels, np.asarray(subjects), self.alpha)
        self.cuts_, self.accuracy_ = {}, {}
        for column, (name, groups, borders) in enumerate(
            (("gender", GENDERS, GENDER_CUTS), ("age", AGE_GROUPS, AGE_CUTS))
        ):
            annotated = ~np.isnan(labels[:, column])
            score = scores[annotated, column]
            truth = np.searchsorted(borders, labels[annotated, column], "right")
            shares = np.bincount(truth, minlength=len(groups)) / max(len(truth), 1)
            for group in (0, -1):
                if shares[group] == 0:
                    raise FacsimileError(f"demographics: no face is labelled {groups[group]}")
            if shares.all():
                below = np.cumsum(shares)[:-1]
            else:
                below = np.array([2 / 3 * shares[0], 1 - 2 / 3 * shares[-1]])
            cuts = np.quantile(score, below)
            self.cuts_[name] = cuts
            self.accuracy_[name] = float((np.searchsorted(cuts, score, "right") == truth).mean())
        self.vectors_, self.bias_ = ridge_readouts(z, labels, self.alpha)
        return self

    def predict(self, z: np.ndarray) -> list[tuple[str, str]]:
        """Gender and age group, one of ``CELLS``, of each normalised code (N, D)."""
        male, age = (z @ self.vectors_.T + self.bias_).T
        genders = np.searchsorted(self.cuts_["gender"], male, "right")
        groups = np.searchsorted(self.cuts_["age"], age, "right")
        return [(GENDERS[a], AGE_GROUPS[b]) for a, b in zip(genders, groups, strict=True)]
