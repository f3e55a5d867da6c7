"""Balance of the accepted faces over AUs, genders and age groups."""

import numpy as np
import pandas as pd

from facsimile.faces.demographics import AGE_CUTS, GENDER_CUTS, group_indices
from facsimile.seeding import sample_rng


def overfull(candidates: pd.DataFrame, kept: np.ndarray, slack: float, seed: int) -> np.ndarray:
    """Mask (N,) of faces to reject so that a balanced plan gives a balanced result.

    Some AUs and groups of people pass the checks more easily than others. A cell is an AU × gender
    × age group within one origin; mixed faces form an AU category of their own. Each cell keeps at
    most `slack` times the number of faces that its origin's median acceptance rate implies. The
    rejected faces are drawn at random, seeded by sample_id.

    Args:
        candidates: rows with sample_id, origin, edited_au, male and age.
        kept: (N,) bool, faces that passed all other checks.
        slack: at least 1.
        seed: seed of the draw.
    """
    faces = pd.DataFrame(
        {
            "origin": candidates["origin"].to_numpy(),
            "edited_au": candidates["edited_au"].to_numpy(),
            "gender": group_indices(candidates["male"], GENDER_CUTS),
            "age_group": group_indices(candidates["age"], AGE_CUTS),
        }
    )
    cell = faces.groupby(list(faces.columns), dropna=False).ngroup()
    faces["kept"] = kept
    cells = faces.groupby(cell).agg(
        origin=("origin", "first"), planned=("kept", "size"), kept=("kept", "sum")
    )
    # Cells without any accepted face are left out, so that they do not lower the median.
    rate = (cells["kept"] / cells["planned"]).where(cells["kept"] > 0)
    median = rate.groupby(cells["origin"]).transform("median")
    limit = np.ceil(slack * median * cells["planned"] - 1e-9)

    draw = pd.Series([sample_rng(seed, name).random() for name in candidates["sample_id"]])
    rank = draw.where(faces["kept"]).groupby(cell).rank()
    return (rank > cell.map(limit)).to_numpy()
