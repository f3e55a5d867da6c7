"""Scores of generated faces: entanglement, edits, identity, neutralization, acceptance.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", section IV: inter-AU
correlation (Fig. 5), identity drift (Fig. 10), residual activity after neutralization (Fig. 4).
AU readings come from the oracle, an estimator that no stage trains on. All functions take arrays
and tables; none loads a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from facsimile.faces.annotation import presence
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS
from facsimile.measurement.metrics import cosine_distance, mean_defined, pearson_per_au
from facsimile.measurement.summaries import (
    au_recall,
    icc_3_1,
    inter_au_correlation,
    long_form,
    mean_abs_correlation,
)


@dataclass(frozen=True)
class CorrelationScores:
    """Inter-AU correlation in the three panels of Fig. 5.

    Attributes:
        matrices: labels_real, estimator_real, estimator_generated → (12, 12).
    """

    matrices: Mapping[str, np.ndarray]

    def metrics(self) -> dict[str, dict[str, float]]:
        """``{"inter_au_correlation": {panel: mean |r|}}``."""
        means = {name: mean_abs_correlation(matrix) for name, matrix in self.matrices.items()}
        return {"inter_au_correlation": means}

    def tables(self) -> dict[str, pd.DataFrame]:
        """``correlations``: au, other, r, panel."""
        panels = [
            long_form(matrix, "au", "other", "r").assign(panel=panel)
            for panel, matrix in self.matrices.items()
        ]
        return {"correlations": pd.concat(panels)}


def score_correlations(
    labels_real: np.ndarray, estimator_real: np.ndarray, estimator_generated: np.ndarray
) -> CorrelationScores:
    """Correlate AUs in three sets of intensities.

    Args:
        labels_real: labels of real faces (N, 12).
        estimator_real: readings of the same faces (N, 12).
        estimator_generated: readings of accepted generated faces (M, 12).
    """
    panels = {
        "labels_real": labels_real,
        "estimator_real": estimator_real,
        "estimator_generated": estimator_generated,
    }
    return CorrelationScores({name: inter_au_correlation(aus) for name, aus in panels.items()})


@dataclass(frozen=True)
class EditScores:
    """Effects of single-AU edits on AUs and identity.

    Attributes:
        effects: see `edit_effects`.
        off_target: mean absolute change of another AU per unit of intensity. Magnitudes are taken
            per face: if an edit raises an AU on one face and lowers it on another, both count.
        distances: cosine distance (N,) between identity embeddings before and after the edit.
        threshold: verification threshold; pairs further apart count as different people.
    """

    effects: pd.DataFrame
    off_target: float
    distances: np.ndarray
    threshold: float

    def metrics(self) -> dict[str, dict]:
        """``edit``: mean change of the edited AU and `off_target`, per unit of intensity.
        ``identity``: drift, and the share of faces beyond the threshold."""
        on_target = np.diag(self.effects.to_numpy(float))
        return {
            "edit": {
                "on_target": mean_defined(on_target),
                "off_target": self.off_target,
                "on_target_per_au": dict(zip(self.effects.index, on_target.tolist(), strict=True)),
            },
            "identity": {
                "drift": float(self.distances.mean()),
                "drift_p95": float(np.quantile(self.distances, 0.95)),
                "threshold": float(self.threshold),
                "lost": float((self.distances > self.threshold).mean()),
            },
        }

    def tables(self) -> dict[str, pd.DataFrame]:
        """``edit_effects``: edited_au and one column per AU read."""
        return {"edit_effects": self.effects.rename_axis("edited_au").reset_index()}


def score_edits(
    before: np.ndarray,
    after: np.ndarray,
    embedding_before: np.ndarray,
    embedding_after: np.ndarray,
    edits: pd.DataFrame,
    threshold: float,
) -> EditScores:
    """Compare N edited faces with their unedited sources.

    Args:
        before, after: AU readings (N, 12) of sources and edited faces.
        embedding_before, embedding_after: identity embeddings (N, E) of the same faces.
        edits: N rows with edited_au and intensity.
        threshold: cosine distance above which embeddings count as different people.
    """
    change = (np.asarray(after) - np.asarray(before)) / edits["intensity"].to_numpy()[:, None]
    others = np.asarray(AUS) != edits["edited_au"].to_numpy()[:, None]
    return EditScores(
        edit_effects(before, after, edits["edited_au"], edits["intensity"]),
        mean_defined(np.abs(change[others])),
        cosine_distance(embedding_before, embedding_after),
        threshold,
    )


def edit_effects(
    before: np.ndarray, after: np.ndarray, edited_au: Sequence[str], intensity: Sequence[float]
) -> pd.DataFrame:
    """Change of each AU reading per unit of intensity, averaged over the edits of each AU.

    Args:
        before, after: readings (N, 12) of the unedited and the edited face.
        edited_au: edited AU of each face.
        intensity: intensity of each edit.

    Returns:
        (12, 12): row = edited AU, column = AU read. The identity matrix for perfect edits; rows of
        AUs that were not edited are NaN.
    """
    change = (np.asarray(after) - np.asarray(before)) / np.asarray(intensity)[:, None]
    frame = pd.DataFrame(change, columns=list(AUS))
    return frame.groupby(np.asarray(edited_au)).mean().reindex(list(AUS))


@dataclass(frozen=True)
class NeutralizationScores:
    """AU activity before and after neutralization, and the AU recall of the neutralizer.

    Attributes:
        before, after: readings (N, 12) of sampled faces and of their neutralized versions; NaN
            entries are ignored.
        recall: share of active AUs on validation faces that the neutralizer predicts as active.
    """

    before: np.ndarray
    after: np.ndarray
    recall: float

    def metrics(self) -> dict[str, dict[str, float]]:
        """``neutralization``: recall, and mean activity before and after, with negative readings
        set to 0."""
        return {
            "neutralization": {
                "recall": self.recall,
                "residual_before": _activity(self.before),
                "residual_after": _activity(self.after),
            }
        }

    def tables(self) -> dict[str, pd.DataFrame]:
        """``activity``: au, and its mean reading before and after."""
        columns = {"au": AUS, "before": self.before.mean(0), "after": self.after.mean(0)}
        return {"activity": pd.DataFrame(columns)}


def score_neutralization(
    before: np.ndarray, after: np.ndarray, *, val_labels: np.ndarray, val_predictions: np.ndarray
) -> NeutralizationScores:
    """Score the neutralization of N sampled faces.

    Args:
        before, after: see `NeutralizationScores`.
        val_labels, val_predictions: labels and the neutralizer's predictions for M validation
            faces, (M, 12).
    """
    recall = au_recall(presence(val_labels), presence(val_predictions))
    return NeutralizationScores(before, after, recall)


def _activity(readings: np.ndarray) -> float:
    return float(np.clip(readings[~np.isnan(readings)], 0, None).mean())


def count_aus(faces: pd.DataFrame) -> pd.DataFrame:
    """Number of faces per origin and AU on which the AU is annotated, and active.

    Args:
        faces: rows with origin and the 12 AUs.

    Returns:
        One row per origin and AU, with origin, au, active, annotated.
    """
    long = faces[["origin", *AUS]].melt("origin", list(AUS), "au", "label").dropna(subset="label")
    long["active"] = long["label"] >= ACTIVE_THRESHOLD
    counts = long.groupby(["origin", "au"], sort=False)["active"].agg(["sum", "count"])
    return counts.rename(columns={"sum": "active", "count": "annotated"}).reset_index()


def filter_metrics(decisions: pd.DataFrame) -> dict[str, object]:
    """Counts of accepted and rejected candidates.

    Args:
        decisions: result of `facsimile.filtering.FaceFilter.predict`.
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


def oracle_metrics(labels: np.ndarray, readings: np.ndarray) -> dict[str, object]:
    """Agreement of the oracle's readings (N, 12) with labels (N, 12) of held-out people."""
    correlation = pearson_per_au(labels, readings)
    return {
        "pearson": mean_defined(correlation),
        "pearson_per_au": dict(zip(AUS, correlation.tolist(), strict=True)),
        "icc_per_au": dict(zip(AUS, icc_3_1(labels, readings).tolist(), strict=True)),
    }
