"""The figures of the evaluate stage, as one nested dict that becomes metrics.json.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", section IV: F1 (Fig. 6
and 13), AU-pair false positives (Fig. 8), inter-AU correlation (Fig. 5), identity drift (Fig. 10),
residual activity after neutralization (Fig. 4). Inputs are arrays; nothing here loads a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from facsimile.faces.annotation import presence
from facsimile.faces.arms import REAL
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS
from facsimile.measurement.metrics import (
    au_pair_fpr,
    au_recall,
    cluster_bootstrap,
    cosine_distance,
    f1_per_au,
    icc_3_1,
    inter_au_correlation,
    mean_abs_correlation,
    mean_defined,
    over_seeds,
    pearson_per_au,
)

BOOTSTRAP_DRAWS = 200


@dataclass(frozen=True)
class DetectorRun:
    """Predictions of one trained detector on one test set.

    Attributes:
        arm: one of ``facsimile.faces.arms.ARMS``.
        seed: seed of the repeat.
        predictions: AU intensities (N, 12), NaN for AUs that it has not learnt.
        thresholds: (12,), chosen on the validation split.
    """

    arm: str
    seed: int
    predictions: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True)
class DetectionScores:
    """Scores of all runs on one test set.

    Attributes:
        per_run: one row a run: arm, seed, f1, au_pair_fpr, icc, pearson (means over AUs).
        per_au: one row a run and AU that is annotated and learnt: arm, seed, au, f1, icc, pearson.
        pair_fpr: arm → AU-pair FPR matrix (12, 12), mean over seeds.
        gain_interval: arm → 95 % interval of its mean F1 minus that of "real", people resampled;
            NaN where no AU of the test set was learnt.
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


def score_detectors(
    labels: np.ndarray, subjects: Sequence[str], runs: Sequence[DetectorRun], *, seed: int = 0
) -> DetectionScores:
    """Score detectors on one test set.

    Args:
        labels: AU intensities (N, 12), NaN where not annotated.
        subjects: N subject ids.
        runs: predictions of every arm and seed on these faces.
        seed: seed of the bootstrap over people.
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
        known = ~np.isnan(np.asarray(labels, float)).all(0)
        au_rows.append(frame[known & ~np.isnan(run.predictions).all(0)])
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
    pair_fpr = {arm: np.mean(found, axis=0) for arm, found in matrices.items()}
    return DetectionScores(
        pd.DataFrame(rows), pd.concat(au_rows, ignore_index=True), pair_fpr, intervals
    )


def edit_effects(
    before: np.ndarray, after: np.ndarray, edited_au: Sequence[str], intensity: Sequence[float]
) -> pd.DataFrame:
    """What edits did to an independent estimator's readings, per unit of intensity.

    Args:
        before, after: readings (N, 12) of the unedited and the edited face.
        edited_au: the N edited AUs.
        intensity: the N intensities they were edited to.

    Returns:
        (12, 12): row = edited AU, column = AU read, entry = mean change per unit edit; the diagonal
        is 1 for perfect edits, the rest 0. Rows of AUs never edited are NaN.
    """
    change = (np.asarray(after) - np.asarray(before)) / np.asarray(intensity)[:, None]
    frame = pd.DataFrame(change, columns=list(AUS))
    return frame.groupby(np.asarray(edited_au)).mean().reindex(list(AUS))


def edit_metrics(effects: pd.DataFrame) -> dict[str, float | dict[str, float]]:
    """On-target change of the edited AU and mean absolute change of all others, per unit edit."""
    matrix = effects.to_numpy(float)
    off = np.abs(matrix[~np.eye(len(matrix), dtype=bool)])
    return {
        "on_target": mean_defined(np.diag(matrix)),
        "off_target": mean_defined(off),
        "on_target_per_au": dict(zip(effects.index, np.diag(matrix).tolist(), strict=True)),
    }


def correlation_metrics(
    labels_real: np.ndarray, estimator_real: np.ndarray, estimator_generated: np.ndarray
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Mean |inter-AU correlation| of the three panels of Fig. 5, and their matrices."""
    panels = {
        "labels_real": labels_real,
        "estimator_real": estimator_real,
        "estimator_generated": estimator_generated,
    }
    matrices = {name: inter_au_correlation(values) for name, values in panels.items()}
    return {name: mean_abs_correlation(m) for name, m in matrices.items()}, matrices


def neutralization_metrics(
    before: np.ndarray,
    after: np.ndarray,
    *,
    val_labels: np.ndarray,
    val_predictions: np.ndarray,
) -> dict[str, float]:
    """Recall of the neutralization model N, and activity an estimator reads before and after.

    Args:
        before, after: estimator readings (N, 12) of sampled faces and their neutralized versions;
            negative readings count as no activity, NaN are left out.
        val_labels, val_predictions: labels and N's predictions on validation faces (M, 12).
    """
    return {
        "recall": au_recall(presence(val_labels), presence(val_predictions)),
        "residual_before": float(np.clip(before[~np.isnan(before)], 0, None).mean()),
        "residual_after": float(np.clip(after[~np.isnan(after)], 0, None).mean()),
    }


def identity_metrics(
    original: np.ndarray, edited: np.ndarray, threshold: float | None = None
) -> dict[str, float]:
    """Identity drift of edits: cosine distance of face embeddings, and the share over a threshold.

    Args:
        original, edited: embeddings (N, E) of matching faces.
        threshold: verification threshold; pairs further apart count as different people.
    """
    distances = cosine_distance(original, edited)
    result = {"drift": float(distances.mean()), "drift_p95": float(np.quantile(distances, 0.95))}
    if threshold is not None:
        result |= {"threshold": float(threshold), "lost": float((distances > threshold).mean())}
    return result


def count_aus(faces: pd.DataFrame) -> pd.DataFrame:
    """Faces of each origin on which each AU is annotated and active.

    Args:
        faces: rows with origin and the 12 AUs.

    Returns:
        origin, au, active, annotated.
    """
    long = faces[["origin", *AUS]].melt("origin", list(AUS), "au", "label").dropna(subset="label")
    long["active"] = long["label"] >= ACTIVE_THRESHOLD
    counts = long.groupby(["origin", "au"], sort=False)["active"].agg(["sum", "count"])
    return counts.rename(columns={"sum": "active", "count": "annotated"}).reset_index()


def filter_metrics(decisions: pd.DataFrame) -> dict[str, object]:
    """Counts of accepted and rejected candidates.

    Args:
        decisions: table of ``filter_faces``.
    """
    accepted = decisions[decisions["accepted"]]
    counts = decisions["reason"].value_counts()
    return {
        "candidates": len(decisions),
        "accepted": len(accepted),
        "acceptance_by_origin": decisions.groupby("origin")["accepted"].mean().to_dict(),
        "accepted_by_au": {
            au: int(count) for au, count in accepted["edited_au"].value_counts(sort=False).items()
        },
        "rejected_by_reason": {reason: int(count) for reason, count in counts.items()},
    }


def oracle_metrics(labels: np.ndarray, predictions: np.ndarray) -> dict[str, object]:
    """Agreement of the independent estimator with labels it never saw."""
    correlation = pearson_per_au(labels, predictions)
    return {
        "pearson": mean_defined(correlation),
        "pearson_per_au": dict(zip(AUS, correlation.tolist(), strict=True)),
        "icc_per_au": dict(zip(AUS, icc_3_1(labels, predictions).tolist(), strict=True)),
    }
