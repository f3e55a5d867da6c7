"""Scores of trained detectors on test sets.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", section IV: F1 (Fig. 6
and 13) and AU-pair false positives (Fig. 8). All functions take arrays; none loads a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from facsimile.faces.annotation import presence
from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.measurement.metrics import f1_per_au, mean_defined, pearson_per_au
from facsimile.measurement.summaries import (
    au_pair_fpr,
    cluster_bootstrap,
    icc_3_1,
    long_form,
    over_seeds,
)

BOOTSTRAP_DRAWS = 200


@dataclass(frozen=True)
class DetectorRun:
    """Predictions of one trained detector on one test set.

    Attributes:
        arm: one of `facsimile.faces.arms.training_arms`.
        seed: seed of the repeat.
        predictions: AU intensities (N, 12), NaN for AUs that the detector has not learnt.
        thresholds: detection thresholds (12,), chosen on the validation split.
    """

    arm: str
    seed: int
    predictions: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True)
class DetectionScores:
    """Scores of all runs on one test set.

    Attributes:
        per_run: one row per run with arm, seed, f1, au_pair_fpr, icc, pearson (means over AUs).
        per_au: one row per run and AU, with arm, seed, au, f1, icc, pearson. Only AUs that are
            annotated and learnt.
        pair_fpr: arm → AU-pair false positive rates (12, 12), mean over seeds.
        gain_interval: arm → 95 % interval of its mean F1 minus that of the arm "real", from
            resampling people. NaN if no AU of the test set was learnt.
    """

    per_run: pd.DataFrame
    per_au: pd.DataFrame
    pair_fpr: dict[str, np.ndarray]
    gain_interval: dict[str, tuple[float, float]]

    def metrics(self) -> dict[str, dict]:
        """``{"f1": {arm: …}, "au_pair_fpr": {arm: …}, "icc": …, "pearson": …}``."""
        result: dict[str, dict] = {}
        for name in ("f1", "au_pair_fpr", "icc", "pearson"):
            result[name] = {
                arm: over_seeds(runs[name]) for arm, runs in self.per_run.groupby("arm", sort=False)
            }
        for name in ("f1", "icc", "pearson"):
            means = self.per_au.groupby(["arm", "au"], sort=False)[name].mean()
            for arm, scores in result[name].items():
                scores["per_au"] = means[arm].to_dict() if arm in means else {}
        for arm, interval in self.gain_interval.items():
            result["f1"][arm]["gain_interval"] = list(interval)
        return result


@dataclass(frozen=True)
class DomainScores:
    """Scores on several test sets.

    Attributes:
        by_test_set: name → scores. The first test set is in-domain, the others are cross-dataset.
    """

    by_test_set: Mapping[str, DetectionScores]

    def metrics(self) -> dict[str, dict]:
        """In-domain metrics, and those of the other test sets under ``cross_dataset``."""
        in_domain, *others = self.by_test_set
        return self.by_test_set[in_domain].metrics() | {
            "cross_dataset": {name: self.by_test_set[name].metrics() for name in others}
        }

    def tables(self) -> dict[str, pd.DataFrame]:
        """``detection``: per_au with a column test_set. ``au_pair_fpr``: in-domain arm, absent,
        present, fpr."""
        per_au = [scores.per_au.assign(test_set=name) for name, scores in self.by_test_set.items()]
        in_domain = next(iter(self.by_test_set.values()))
        pairs = [
            long_form(matrix, "absent", "present", "fpr").assign(arm=arm)
            for arm, matrix in in_domain.pair_fpr.items()
        ]
        return {"detection": pd.concat(per_au), "au_pair_fpr": pd.concat(pairs)}


def score_detectors(
    labels: np.ndarray, subjects: Sequence[str], runs: Sequence[DetectorRun], *, seed: int = 0
) -> DetectionScores:
    """Score detectors on one test set.

    Args:
        labels: AU intensities (N, 12), NaN where not annotated.
        subjects: N subject ids.
        runs: predictions of every arm and seed on these faces.
        seed: seed of the bootstrap over subjects.
    """
    truth = presence(labels)
    rows, au_rows, matrices, detections = [], [], {}, {}
    for run in runs:
        detected = presence(run.predictions, run.thresholds)
        matrix = au_pair_fpr(truth, detected)
        per_au = {
            "f1": f1_per_au(truth, detected),
            "icc": icc_3_1(labels, run.predictions),
            "pearson": pearson_per_au(labels, run.predictions),
        }
        means = {name: mean_defined(values) for name, values in per_au.items()}
        rows.append(
            {"arm": run.arm, "seed": run.seed, "au_pair_fpr": mean_defined(matrix), **means}
        )
        frame = pd.DataFrame({"arm": run.arm, "seed": run.seed, "au": AUS, **per_au})
        annotated = ~np.isnan(np.asarray(labels, float)).all(0)
        au_rows.append(frame[annotated & ~np.isnan(run.predictions).all(0)])
        matrices.setdefault(run.arm, []).append(matrix)
        detections.setdefault(run.arm, []).append(detected)

    def mean_f1(arm: str, rows: np.ndarray) -> float:
        scores = [mean_defined(f1_per_au(truth[rows], d[rows])) for d in detections[arm]]
        return float(np.mean(scores))

    intervals = {
        arm: cluster_bootstrap(
            subjects,
            lambda rows, arm=arm: mean_f1(arm, rows) - mean_f1(REAL, rows),
            seed=seed,
            draws=BOOTSTRAP_DRAWS,
        )
        for arm in detections
        if arm != REAL and REAL in detections
    }
    pair_fpr = {arm: np.mean(per_seed, axis=0) for arm, per_seed in matrices.items()}
    return DetectionScores(
        pd.DataFrame(rows), pd.concat(au_rows, ignore_index=True), pair_fpr, intervals
    )
