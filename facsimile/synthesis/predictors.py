"""Linear predictors of gender and age group on semantic codes.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", III-B: acceptance–
rejection retains the samples for which "the predictors indicate the desired demographic bins".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facsimile.editing.regression import out_of_group, ridge_readouts
from facsimile.errors import FacsimileError
from facsimile.faces.demographics import AGE_CUTS, AGE_GROUPS, GENDER_CUTS, GENDERS


@dataclass(frozen=True)
class DemographicPredictors:
    """Ridge predictors of male and age, and where their scores are cut into groups.

    Ridge scores shrink to the mean, so cutting them where the labels are cut would leave the
    outer age groups all but empty. Scores are cut at quantiles instead: as many labelled faces
    (scored by models that had not seen those people) fall into each group as truly belong to it.

    Attributes:
        vectors, bias: score of [male, age] = ``z @ vectors.T + bias``, (2, D) and (2,).
        cuts: gender → (1,) and age → (2,) ascending score thresholds.
        accuracy: share of labelled faces, unseen in fitting, that fall into their own group.
    """

    vectors: np.ndarray
    bias: np.ndarray
    cuts: dict[str, np.ndarray]
    accuracy: dict[str, float]

    @classmethod
    def fit(
        cls,
        z: np.ndarray,
        male: np.ndarray,
        age: np.ndarray,
        subjects: Sequence[str],
        alpha: float = 10.0,
    ) -> "DemographicPredictors":
        """Fit on normalised codes (N, D) with labels in [0, 1] (NaN = not annotated) and N ids.

        Age labels that are only ever young (0) or old (1), as CelebA's, name no middle group: then
        the third of each group whose scores lie nearest the other is taken for it.

        Raises:
            FacsimileError: no male, no female, no young or no old face.
        """
        z, labels = np.asarray(z, np.float64), np.column_stack([male, age]).astype(np.float64)
        scores = out_of_group(z, labels, np.asarray(subjects), alpha)
        cuts, accuracy = {}, {}
        for column, (name, groups, borders) in enumerate(
            (("gender", GENDERS, GENDER_CUTS), ("age", AGE_GROUPS, AGE_CUTS))
        ):
            known = ~np.isnan(labels[:, column])
            score, truth = (
                scores[known, column],
                np.searchsorted(borders, labels[known, column], "right"),
            )
            shares = np.bincount(truth, minlength=len(groups)) / max(len(truth), 1)
            for group in (0, -1):
                if shares[group] == 0:
                    raise FacsimileError(f"demographics: no face is labelled {groups[group]}")
            if shares.all():
                below = np.cumsum(shares)[:-1]
            else:
                below = np.array([2 / 3 * shares[0], 1 - 2 / 3 * shares[-1]])
            cuts[name] = np.quantile(score, below)
            accuracy[name] = float((np.searchsorted(cuts[name], score, "right") == truth).mean())
        vectors, bias = ridge_readouts(z, labels, alpha)
        return cls(vectors, bias, cuts, accuracy)

    def cells(self, z: np.ndarray) -> list[tuple[str, str]]:
        """(gender, age group) of normalised codes (N, D)."""
        male, age = (z @ self.vectors.T + self.bias).T
        genders = np.searchsorted(self.cuts["gender"], male, "right")
        groups = np.searchsorted(self.cuts["age"], age, "right")
        return [(GENDERS[a], AGE_GROUPS[b]) for a, b in zip(genders, groups, strict=True)]
