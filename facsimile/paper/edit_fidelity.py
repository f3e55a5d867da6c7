"""Fidelity of edits: how close edited faces come to target pictures, and what else they change.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV-D (Fig. 10: AU error
and identity drift by the number of edited AUs) and IV-E (Table I: SSIM with the target; Fig. 12:
entanglement). All functions take arrays and tables; none loads a model. AUs are in the order of
``AUS``, and NaN where they are not measured.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.tables import to_tensor
from facsimile.generator.evaluation import similarity
from facsimile.measurement.metrics import cosine_distance, mean_defined
from facsimile.measurement.summaries import cluster_bootstrap

UNEDITED, DEFAULT, IDENTITY, EXACT = "unedited", "default", "identity", "exact"
"""Names in column ``editor`` beside those of `facsimile.editing.ablation`: the reconstruction of
the source; the editor of the project; the target's own code, decoded with the x_T of the source,
which is as good as an edit of the code can be; the exact target itself."""

SCORES = ("au_mae", "au_mae_labels", "drift", "ssim", "psnr")
COMPARED = ("au_mae", "drift", "ssim")
READ = (*AUS, *NUISANCES)
"""What is read from a face, in the order of the columns of changes."""

AU_ERRORS = tuple(f"error_{au}" for au in AUS)


def score_pairs(
    readings: np.ndarray,
    target_readings: np.ndarray,
    labels: np.ndarray,
    embeddings: np.ndarray,
    target_embeddings: np.ndarray,
    images: np.ndarray,
    target_images: np.ndarray,
) -> pd.DataFrame:
    """Compare N edited faces with their targets.

    Args:
        readings, target_readings: AU readings (N, 12) of the edited faces and of the targets.
        labels: AUs of the targets (N, 12).
        embeddings, target_embeddings: identity embeddings (N, E).
        images, target_images: uint8 (N, H, W, 3).

    Returns:
        One row per face:
        au_mae: mean absolute difference of the two readings over AUs, as in Fig. 10.
        au_mae_labels: of the reading and the label.
        drift: cosine distance of the embeddings.
        ssim, psnr: of the whole images, see `facsimile.generator.evaluation.fidelity`.
        error_<AU>: absolute difference of the two readings of this AU.
    """
    errors = np.abs(np.asarray(readings, float) - target_readings)
    label_errors = np.abs(np.asarray(readings, float) - labels)
    ssim, psnr = similarity(to_tensor(images), to_tensor(target_images))
    scores = {
        "au_mae": _row_means(errors),
        "au_mae_labels": _row_means(label_errors),
        "drift": cosine_distance(embeddings, target_embeddings),
        "ssim": ssim.numpy(),
        "psnr": psnr.numpy(),
    }
    return pd.DataFrame(scores | dict(zip(AU_ERRORS, errors.T, strict=True)))


def _row_means(values: np.ndarray) -> np.ndarray:
    return np.array([mean_defined(row) for row in values])


def summarise_pairs(pairs: pd.DataFrame, by: Sequence[str], threshold: float) -> pd.DataFrame:
    """Means over pairs, with standard errors over people.

    Args:
        pairs: rows of `score_pairs` with subject_id and the columns `by`.
        by: columns to group by, such as editor and n_aus.
        threshold: cosine distance above which embeddings count as different people.

    Returns:
        One row per group, in the order of their first pairs: columns `by`, pairs, people; each
        score and ``<score>_se``, the standard error of the means of people (NaN for one person);
        lost, the share of pairs beyond the threshold.
    """
    rows = []
    for key, group in pairs.groupby(list(by), sort=False):
        people = group.groupby("subject_id")[list(SCORES)].mean()
        row = dict(zip(by, key, strict=True))
        row |= {"pairs": len(group), "people": len(people)}
        for score in SCORES:
            several = people[score].dropna()
            row[score] = mean_defined(group[score])
            row[f"{score}_se"] = stats.sem(several) if len(several) > 1 else np.nan
        rows.append(row | {"lost": float((group["drift"] > threshold).mean())})
    return pd.DataFrame(rows)


def compare_editors(pairs: pd.DataFrame, reference: str, *, seed: int) -> pd.DataFrame:
    """Mean difference of each editor's scores to those of one editor on the same pairs.

    Args:
        pairs: rows of `score_pairs` with pair_id, subject_id and editor; each editor has all pairs.
        reference: the editor to compare with.
        seed: seed of the bootstrap.

    Returns:
        reference, editor, score (of ``COMPARED``), difference, and low and high of its 95 %
        interval over people.
    """
    if reference not in set(pairs["editor"]):
        raise FacsimileError(f"no pair was edited by {reference!r}")
    wide = pairs.pivot(index="pair_id", columns="editor", values=list(COMPARED))
    people = pairs.drop_duplicates("pair_id").set_index("pair_id").loc[wide.index, "subject_id"]
    rows = []
    for editor in pairs["editor"].unique():
        if editor == reference:
            continue
        for score in COMPARED:
            change = (wide[score][editor] - wide[score][reference]).to_numpy()
            low, high = cluster_bootstrap(people, lambda k, c=change: mean_defined(c[k]), seed=seed)
            rows.append((reference, editor, score, mean_defined(change), low, high))
    columns = ["reference", "editor", "score", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def measure_effects(singles: pd.DataFrame) -> pd.DataFrame:
    """What edits of one AU change, per face and on average.

    Args:
        singles: one row per edited face with editor, edited_au and the change of each of ``READ``
            from the unedited face. Optionally columns ``exact_<name>`` with the changes that the
            exact target shows, NaN where there is none.

    Returns:
        One row per editor, edited AU and reading, with:
        signed: mean change;
        absolute: mean over faces of the magnitude of the change, so that opposite changes of two
            faces do not cancel;
        deviation: mean over faces of the magnitude of the difference to the exact target's change;
        n: faces.
    """
    changes = singles[list(READ)]
    exact = singles.reindex(columns=[f"exact_{name}" for name in READ])
    parts = {
        "signed": changes,
        "absolute": changes.abs(),
        "deviation": (changes - exact.to_numpy(float)).abs(),
    }
    keys = [singles["editor"], singles["edited_au"]]
    means = {
        name: part.groupby(keys, sort=False).mean().rename_axis(columns="read").stack()
        for name, part in parts.items()
    }
    counts = changes.groupby(keys, sort=False).count().rename_axis(columns="read").stack()
    table = pd.DataFrame(means | {"n": counts}).reindex(counts.index)
    return table.reset_index()


def summarise_effects(effects: pd.DataFrame, entailed: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Means of `measure_effects` over AUs, one row per editor.

    Args:
        effects: result of `measure_effects`.
        entailed: edited AU → AUs that change with it even in a perfect edit; they do not count as
            leakage.

    Returns:
        editor; on_target: mean signed change of the edited AU; leakage: mean absolute change of
        another AU per face; leakage_signed: mean magnitude of its mean change; deviation: mean
        deviation of another AU from the exact target; nuisances, nuisances_signed: as leakage, of
        the nuisances.
    """
    own = effects["read"] == effects["edited_au"]
    nuisance = effects["read"].isin(NUISANCES)
    follows = np.array(
        [
            read in entailed.get(au, ())
            for au, read in zip(effects["edited_au"], effects["read"], strict=True)
        ],
        bool,
    )
    rows = []
    for editor in effects["editor"].unique():
        its = effects["editor"] == editor
        others = effects[its & ~own & ~nuisance & ~follows]
        side = effects[its & nuisance]
        rows.append(
            {
                "editor": editor,
                "on_target": mean_defined(effects.loc[its & own, "signed"]),
                "leakage": mean_defined(others["absolute"]),
                "leakage_signed": mean_defined(others["signed"].abs()),
                "deviation": mean_defined(others["deviation"]),
                "nuisances": mean_defined(side["absolute"]),
                "nuisances_signed": mean_defined(side["signed"].abs()),
            }
        )
    return pd.DataFrame(rows)


def measure_linearity(singles: pd.DataFrame, entailed: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Rise of the edited AU and change of the others by the strength of the edit.

    Args:
        singles: as for `measure_effects`, with the strength ``s`` of the edit.
        entailed: as for `summarise_effects`.

    Returns:
        One row per editor, edited AU and s: on_target, the mean rise of the edited AU; off_target,
        the mean absolute change of other AUs per face; n, faces.
    """
    rows = []
    for (editor, au, s), group in singles.groupby(["editor", "edited_au", "s"], sort=False):
        others = [other for other in AUS if other != au and other not in entailed.get(au, ())]
        rows.append(
            {
                "editor": editor,
                "edited_au": au,
                "s": s,
                "on_target": mean_defined(group[au]),
                "off_target": mean_defined(group[others].abs()),
                "n": len(group),
            }
        )
    return pd.DataFrame(rows).sort_values(["editor", "edited_au", "s"], ignore_index=True)


def linearity_of(rises: pd.DataFrame) -> dict[str, float]:
    """How well the rises of one editor follow a straight line through 0.

    Args:
        rises: rows of `measure_linearity` of one editor.

    Returns:
        r2: share of the squared rises that the best line through 0 explains, mean over AUs.
        rise_<s>: rise at strength s, mean over AUs.
    """
    explained = []
    for _, rows in rises.groupby("edited_au"):
        s, rise = rows["s"].to_numpy(float), rows["on_target"].to_numpy(float)
        power = (rise**2).sum()
        residual = rise - s * (s @ rise) / (s @ s)
        explained.append(1 - (residual**2).sum() / power if power > 0 else np.nan)
    by_strength = rises.groupby("s")["on_target"].mean()
    return {"r2": mean_defined(explained)} | {
        f"rise_{s:g}": float(rise) for s, rise in by_strength.items()
    }
