"""Scores of editors from what was read from their edits. All functions take tables.

Sources: AUEditNet (Table 1: ICC, MSE, MSE after removal; Table 4), "Toward Fine-grained Facial
Expression Manipulation" (Table 1: expression distance, average content distance; Table 3:
reconstruction), LEED (Table 1: Fréchet distance, SSIM), and "Controlled Face Manipulation and
Synthesis for Data Augmentation" (Fig. 10, Fig. 12).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from facsimile.benchmark.contestants import CLAIMS
from facsimile.benchmark.measuring import LABELS, READINGS
from facsimile.generator.evaluation import frechet_distance
from facsimile.measurement.metrics import mean_defined
from facsimile.measurement.summaries import icc_3_1
from facsimile.paper.edit_fidelity import (
    linearity_of,
    measure_effects,
    measure_linearity,
    summarise_effects,
)

LOWER_IS_BETTER = {
    "au_mae": True,
    "mse": True,
    "icc": False,
    "expression_distance": True,
    "content_distance": True,
    "drift": True,
    "lost": True,
    "ssim": False,
    "psnr": False,
    "frechet": True,
    "neutral_mse": True,
    "neutral_drift": True,
    "neutral_ssim": False,
    "zero_l1": True,
    "zero_psnr": False,
    "zero_ssim": False,
    "copied_au_mae": True,
    "copied_drift": True,
    "on_target": False,
    "leakage": True,
    "nuisances": True,
    "linearity": False,
    "faces_per_second": False,
}
"""Score → whether lower values are better."""


def summarise(
    tables: Mapping[str, pd.DataFrame],
    embeddings: np.ndarray,
    target_embeddings: np.ndarray,
    entailed: Mapping[str, Sequence[str]],
    threshold: float,
) -> dict[str, Any]:
    """Scores of one editor.

    Args:
        tables: result of `EditorBench.measure`.
        embeddings, target_embeddings: features (N, E) of the edits and targets of ``pairs``.
        entailed: AU → AUs that change with it even in a perfect edit.
        threshold: cosine distance above which embeddings count as different people.

    Returns:
        The scores in ``LOWER_IS_BETTER``: of the pairs, au_mae (readings of edit and target), mse
        and icc (readings and labels), expression_distance, content_distance, drift, lost (share
        beyond the threshold), ssim, psnr, frechet; neutral_…: after removal of all AUs; zero_…:
        without a change; copied_…: expressions of other people, with the drift from the source; of
        edits of one AU by 1, on_target, leakage and nuisances as in `summarise_effects`, linearity
        as r2 in `linearity_of`. And ``au_mae_by_count``, number of AUs → au_mae.
    """
    pairs, neutral, zero, copied = (tables[n] for n in ("pairs", "neutral", "zero", "copied"))
    read, labels = pairs[list(READINGS)].to_numpy(float), pairs[list(LABELS)].to_numpy(float)
    singles = tables["singles"].assign(editor="editor")
    effects = summarise_effects(measure_effects(singles[singles["s"] == 1.0]), entailed).iloc[0]
    return {
        "au_mae": mean_defined(pairs["au_mae"]),
        "mse": mean_defined((read - labels) ** 2),
        "icc": mean_defined(icc_3_1(labels, read)),
        "expression_distance": pairs["expression_distance"].mean(),
        "content_distance": pairs["content_distance"].mean(),
        "drift": pairs["drift"].mean(),
        "lost": float((pairs["drift"] > threshold).mean()),
        "ssim": pairs["ssim"].mean(),
        "psnr": pairs["psnr"].mean(),
        "frechet": frechet_distance(embeddings, target_embeddings),
        "neutral_mse": mean_defined(neutral[list(READINGS)].to_numpy(float) ** 2),
        "neutral_drift": neutral["drift"].mean(),
        "neutral_ssim": neutral["ssim"].mean(),
        "zero_l1": zero["l1"].mean(),
        "zero_psnr": zero["psnr"].mean(),
        "zero_ssim": zero["ssim"].mean(),
        "copied_au_mae": mean_defined(copied["au_mae"]),
        "copied_drift": copied["drift_from_source"].mean(),
        "on_target": effects["on_target"],
        "leakage": effects["leakage"],
        "nuisances": effects["nuisances"],
        "linearity": linearity_of(measure_linearity(singles, entailed))["r2"],
        "faces_per_second": 1 / pairs["seconds"].iloc[0],
        "au_mae_by_count": pairs.groupby("n_aus")["au_mae"].mean().to_dict(),
    }


def check_claims(scores: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Whether the orderings that the papers state hold.

    Args:
        scores: contestant → result of `summarise`.

    Returns:
        One entry per claim and score whose contestants were measured: text, source, score, better,
        worse (their values) and holds; None if they differ by less than 1 %.
    """
    rows = []
    for claim in CLAIMS:
        if not {claim.better, claim.worse} <= scores.keys():
            continue
        for score in claim.scores:
            better, worse = scores[claim.better][score], scores[claim.worse][score]
            holds = better < worse if LOWER_IS_BETTER[score] else better > worse
            rows.append(
                {
                    "text": claim.text,
                    "source": claim.source,
                    "score": score,
                    "better": better,
                    "worse": worse,
                    "holds": None if np.isclose(better, worse, rtol=0.01) else bool(holds),
                }
            )
    return rows


def best(scores: Mapping[str, Mapping[str, Any]], score: str) -> str:
    """The contestant that is best in a score."""
    known = {name: values[score] for name, values in scores.items() if not np.isnan(values[score])}
    return (min if LOWER_IS_BETTER[score] else max)(known, key=known.get)
