"""Exact targets of edits: the same picture of the same person, with other Action Units.

Pose, gaze, light and scene of a rendered face depend only on its ids, so a row of the population
with other AUs shows what a perfect edit of that face would look like.
"""

import numpy as np
import pandas as pd

from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS
from facsimile.seeding import sample_rng
from facsimile.world.expressions import part_lips
from facsimile.world.population import population


def neutral_people(name: str, people: int, seed: int) -> pd.DataFrame:
    """The first frame of each of some people of a set, without any expression.

    Args:
        name: a key of ``SETS`` with a fixed number of people.
        people: number of people.
        seed: seed of the world.

    Returns:
        Rows of `population` with all AUs 0.

    Raises:
        FacsimileError: unknown set, or it has fewer people.
    """
    rows = population(name, people, seed)
    if rows["subject_id"].duplicated().any():
        raise FacsimileError(f"{name} has only {rows['subject_id'].nunique()} people, not {people}")
    rows[list(AUS)] = np.float32(0.0)
    return rows


def draw_targets(
    neutral: pd.DataFrame,
    *,
    most: int,
    intensity: tuple[float, float],
    seed: int,
    aus: tuple[str, ...] = AUS,
) -> pd.DataFrame:
    """Draw a target of each neutral face for each number of active AUs, from 1 to `most`.

    The AUs are drawn independently of each other. A dropping jaw parts the lips, which counts as
    an AU; so AU26 alone is no target unless it is weak.

    Args:
        neutral: rows of `neutral_people`.
        most: largest number of active AUs, at most that of `aus`.
        intensity: lowest and highest intensity of a drawn AU.
        seed: seed of the draws, which also depend on the id of the face.
        aus: AUs to draw from.

    Returns:
        Rows of `neutral` with the AUs of the target, ``pair_id``, ``source_id`` and ``n_aus``.
        Rendered with the seed of the world, they are the pictures to reach.
    """
    counts = range(1, min(most, len(aus)) + 1)
    rows = neutral.loc[neutral.index.repeat(len(counts))].reset_index(drop=True)
    rows["source_id"] = rows["sample_id"]
    rows["n_aus"] = np.tile(counts, len(neutral))
    rows["pair_id"] = rows["source_id"] + "/aus-" + rows["n_aus"].astype(str)
    columns = [AUS.index(au) for au in aus]
    levels = [
        _draw(sample_rng(seed, pair), count, columns, intensity)
        for pair, count in zip(rows["pair_id"], rows["n_aus"], strict=True)
    ]
    rows[list(AUS)] = np.array(levels, np.float32).reshape(-1, len(AUS))
    return rows


def _draw(
    rng: np.random.Generator, count: int, columns: list[int], intensity: tuple[float, float]
) -> np.ndarray:
    """Intensities (12,) with `count` active AUs, so far as the AUs allow."""
    levels = np.zeros(len(AUS))
    for column in rng.permutation(columns):
        more = levels.copy()
        more[column] = max(more[column], rng.uniform(*intensity))
        more = part_lips(more[None])[0]
        if (more >= ACTIVE_THRESHOLD).sum() <= count:
            levels = more
        if (levels >= ACTIVE_THRESHOLD).sum() == count:
            break
    return levels


def single_targets(neutral: pd.DataFrame, edits: pd.DataFrame) -> pd.DataFrame:
    """Exact targets of edits of one AU.

    Args:
        neutral: rows of `neutral_people`.
        edits: rows with source_id, edited_au and s in [0, 1].

    Returns:
        The rows of `neutral` that `edits` name, in their order, with the AUs of the target.
    """
    rows = neutral.set_index("sample_id", drop=False).loc[edits["source_id"]]
    rows = rows.reset_index(drop=True)
    levels = np.zeros((len(rows), len(AUS)))
    levels[np.arange(len(rows)), [AUS.index(au) for au in edits["edited_au"]]] = edits["s"]
    rows[list(AUS)] = part_lips(levels).astype(np.float32)
    return rows
