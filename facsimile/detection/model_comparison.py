"""The test that a challenger must pass to replace the champion.

Both models read the same faces of validation people. The challenger passes if

1. it is no worse overall: the lower bound of the one-sided 95 % confidence interval of the
   difference in mean F1 is at least ``-margin``; and
2. no AU falls by more than its tolerance in F1; and
3. it has learnt all AUs of the champion.

1 is a non-inferiority test: with few people, an uncertain challenger is refused instead of promoted
for lack of evidence. People, not faces, are the independent units. Since F1 is not a mean over
people, their contributions are the pseudo-values of the jackknife, on which a t-test is done.

Source: J. W. Tukey, Bias and confidence in not-quite large samples, Annals of Mathematical
Statistics 29 (1958). Legend:

    n     number of people
    d     difference in mean F1 over all people
    d_i   the same without person i
    p_i   pseudo-value n·d − (n − 1)·d_i
    t     95 % quantile of Student's t with n − 1 degrees of freedom

    lower bound = d − t · std(p) / √n
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from facsimile.errors import FacsimileError
from facsimile.faces.annotation import presence
from facsimile.faces.aus import AUS
from facsimile.measurement.metrics import f1_per_au, mean_defined

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class PromotionRule:
    """Limits of how much worse a challenger may be.

    Attributes:
        margin: accepted loss of mean F1, at the lower bound. On the embedded world, ensembles of
            two detectors that differ in one seed differ by up to 0.012.
        au_tolerance: accepted loss of F1 of each AU, which varies more than the mean because few
            validation people show it: the same ensembles differ by up to 0.08.
        au_tolerances: AU → its own tolerance.
    """

    margin: float = 0.02
    au_tolerance: float = 0.1
    au_tolerances: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(self.au_tolerances.keys() - set(AUS))
        if unknown:
            raise FacsimileError(f"tolerance of {unknown[0]}: not an AU; AUs are {', '.join(AUS)}")

    def tolerance(self, au: str) -> float:
        """Accepted loss of F1 of one AU."""
        return self.au_tolerances.get(au, self.au_tolerance)


@dataclass(frozen=True)
class ModelComparison:
    """A challenger against the champion, on the same faces of validation people.

    Attributes:
        people, faces: numbers of people and faces.
        champion, challenger: mean F1 over AUs that both have learnt.
        lower_bound: of the difference in mean F1, one-sided 95 %; NaN with fewer than two people.
        per_au: indexed by AU: ``champion``, ``challenger``, ``difference``, all F1.
        refusals: why the challenger is refused, one line each; empty if it passes.
    """

    people: int
    faces: int
    champion: float
    challenger: float
    lower_bound: float
    per_au: pd.DataFrame
    refusals: tuple[str, ...]

    @property
    def difference(self) -> float:
        """Mean F1 of the challenger minus that of the champion."""
        return self.challenger - self.champion

    def __str__(self) -> str:
        return (
            f"mean F1 {self.challenger:.3f} against {self.champion:.3f} of the champion "
            f"({self.difference:+.3f}, lower bound {self.lower_bound:+.3f}) on {self.people} "
            f"validation people, {self.faces:,} faces"
        )


def compare_models(
    labels: ArrayLike,
    people: ArrayLike,
    champion: ArrayLike,
    challenger: ArrayLike,
    rule: PromotionRule,
) -> ModelComparison:
    """Decide whether a challenger may replace the champion.

    Args:
        labels: AU intensities (N, 12), NaN where not annotated.
        people: id of the person on each of N faces.
        champion, challenger: detected presence (N, 12), NaN for AUs that a model has not learnt.
        rule: accepted losses.

    Raises:
        FacsimileError: there are no faces.
    """
    truth = presence(labels)
    champion, challenger = (np.asarray(values, np.float64) for values in (champion, challenger))
    _, codes = np.unique(np.asarray(people), return_inverse=True)
    if not len(codes):
        raise FacsimileError("no validation faces to compare models on")
    both = ~np.isnan(champion).all(0) & ~np.isnan(challenger).all(0)
    truth_of_both = np.where(both, truth, np.nan)

    def difference(rows: np.ndarray) -> float:
        new, old = (
            mean_defined(f1_per_au(truth_of_both[rows], detected[rows]))
            for detected in (challenger, champion)
        )
        return new - old

    scores = {
        name: f1_per_au(truth_of_both, detected)
        for name, detected in (("champion", champion), ("challenger", challenger))
    }
    per_au = pd.DataFrame(scores, index=pd.Index(AUS, name="au")).dropna()
    per_au["difference"] = per_au["challenger"] - per_au["champion"]
    bound = lower_bound(codes, difference)
    lost = ~np.isnan(champion).all(0) & np.isnan(challenger).all(0)
    return ModelComparison(
        people=int(codes.max()) + 1,
        faces=len(codes),
        champion=mean_defined(scores["champion"]),
        challenger=mean_defined(scores["challenger"]),
        lower_bound=bound,
        per_au=per_au,
        refusals=(
            *_overall(bound, rule.margin),
            *(f"{AUS[k]}: not learnt, unlike by the champion" for k in np.flatnonzero(lost)),
            *_losses(per_au, rule),
        ),
    )


def lower_bound(people: np.ndarray, statistic: Callable[[np.ndarray], float]) -> float:
    """One-sided 95 % lower confidence bound of a statistic over people, by the jackknife.

    Args:
        people: number of the person in each of N rows, 0 … n − 1.
        statistic: row numbers → value.

    Returns:
        The bound; NaN with fewer than two people, or if the statistic is undefined.
    """
    n = int(people.max()) + 1
    if n < 2:
        return float("nan")
    whole = statistic(np.arange(len(people)))
    without = np.array([statistic(np.flatnonzero(people != person)) for person in range(n)])
    pseudo = n * whole - (n - 1) * without
    return float(whole - stats.t.ppf(_CONFIDENCE, n - 1) * stats.sem(pseudo))


def _overall(bound: float, margin: float) -> list[str]:
    if np.isnan(bound):
        return [
            "the difference in mean F1 is undefined: it takes two validation people who show AUs"
        ]
    if bound < -margin:
        return [f"mean F1 may be {-bound:.3f} lower, more than the margin of {margin:g}"]
    return []


def _losses(per_au: pd.DataFrame, rule: PromotionRule) -> list[str]:
    return [
        f"{row.Index}: F1 {row.challenger:.3f} instead of {row.champion:.3f}, "
        f"{-row.difference:.3f} lower, tolerance {rule.tolerance(row.Index):g}"
        for row in per_au.itertuples()
        if row.difference < -rule.tolerance(row.Index) - 1e-9
    ]
