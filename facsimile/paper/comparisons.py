"""Scores of all arms on all sets of people.

Differences between arms are resampled over people and seeds (`facsimile.paper.resampling`),
so their intervals cover both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from facsimile.faces.annotation import presence
from facsimile.faces.aus import AUS
from facsimile.measurement.metrics import f1_per_au, mean_defined
from facsimile.measurement.summaries import au_pair_fpr, icc_3_1, over_seeds
from facsimile.paper.resampling import Counts, F1Counts, PairFPRCounts, compare_arms

F1, PAIR_FPR = F1Counts(), PairFPRCounts()
F1_WITHOUT_AU05 = F1Counts(without=("AU05",))


@dataclass(frozen=True)
class People:
    """The faces of one set.

    Attributes:
        labels: AU intensities (N, 12), NaN where not annotated.
        subjects: N subject ids.
        groups: N names of gender × age groups; None if they are not annotated.
    """

    labels: np.ndarray
    subjects: np.ndarray
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class Run:
    """One trained detector.

    Attributes:
        predictions: set → AU intensities (N, 12), NaN for AUs that it has not learnt.
        thresholds: from which an AU counts as detected, (12,), chosen on validation people.
    """

    predictions: Mapping[str, np.ndarray]
    thresholds: np.ndarray


class Comparisons:
    """Scores of the detectors of all arms.

    Args:
        people: name → set.
        arms: name → detectors, one per seed.
        seed: seed of the resampling.
        draws: number of resamples.
    """

    def __init__(
        self,
        people: Mapping[str, People],
        arms: Mapping[str, Sequence[Run]],
        *,
        seed: int,
        draws: int = 500,
    ) -> None:
        self.people = people
        self.arms = {name: runs for name, runs in arms.items() if runs}
        self.seed = seed
        self.draws = draws
        self._scores: dict[tuple[str, str], dict[str, Any]] = {}

    def detections(self, arm: str, place: str) -> list[np.ndarray]:
        """Detected presence (N, 12) on a set, one array per seed."""
        return [presence(run.predictions[place], run.thresholds) for run in self.arms[arm]]

    def scores(self, arm: str, place: str) -> dict[str, Any]:
        """Scores of an arm on a set.

        Returns:
            ``f1``, ``f1_without_AU05``, ``pair_fpr``, ``icc``, each with mean, standard error and
            the value of each seed; ``f1_per_au``, mean over seeds.
        """
        if (arm, place) not in self._scores:
            self._scores[arm, place] = self._score(arm, place)
        return self._scores[arm, place]

    def _score(self, arm: str, place: str) -> dict[str, Any]:
        people = self.people[place]
        truth = presence(people.labels)
        per_au = np.stack([f1_per_au(truth, d) for d in self.detections(arm, place)])
        matrices = [au_pair_fpr(truth, d) for d in self.detections(arm, place)]
        icc = [icc_3_1(people.labels, run.predictions[place]) for run in self.arms[arm]]
        return {
            "f1": over_seeds([mean_defined(row) for row in per_au]),
            "f1_without_AU05": over_seeds(
                [mean_defined(np.delete(row, AUS.index("AU05"))) for row in per_au]
            ),
            "pair_fpr": over_seeds([mean_defined(matrix) for matrix in matrices]),
            "icc": over_seeds([mean_defined(values) for values in icc]),
            "f1_per_au": dict(zip(AUS, np.mean(per_au, axis=0).tolist(), strict=True)),
        }

    def pair_fpr(self, arm: str, place: str) -> np.ndarray:
        """AU-pair false positive rates (12, 12), mean over seeds."""
        truth = presence(self.people[place].labels)
        return np.mean([au_pair_fpr(truth, d) for d in self.detections(arm, place)], axis=0)

    def difference(
        self, one: str, other: str, place: str, statistic: Counts = F1
    ) -> dict[str, float]:
        """Score of `other` minus that of `one`: mean, 95 % interval (low, high) and p-value.

        Args:
            one, other: arms.
            place: set.
            statistic: the score.
        """
        people = self.people[place]
        found = compare_arms(
            presence(people.labels),
            people.subjects,
            self.detections(one, place),
            self.detections(other, place),
            statistic,
            seed=self.seed,
            draws=self.draws,
        )
        return asdict(found)

    def group_f1(self, arm: str, place: str) -> dict[str, float]:
        """Mean F1 of each gender × age group, over seeds; empty without groups."""
        people = self.people[place]
        if people.groups is None:
            return {}
        truth = presence(people.labels)
        detected = self.detections(arm, place)
        scores = {}
        for group in np.unique(people.groups):
            chosen = people.groups == group
            f1 = [mean_defined(f1_per_au(truth[chosen], d[chosen])) for d in detected]
            scores[str(group)] = float(np.mean(f1))
        return scores
