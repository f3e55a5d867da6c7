"""Balance of the accepted faces over AUs, genders and age groups."""

import numpy as np
import pandas as pd

from facsimile.faces.demographics import AGE_CUTS, GENDER_CUTS, group_indices
from facsimile.seeding import sample_rng


def overfull(candidates: pd.DataFrame, kept: np.ndarray, slack: float, seed: int) -> np.ndarray:
    """Faces (N,) to reject so that a balanced plan gives a balanced result.

    Some AUs and people pass the checks more easily than others. A cell is an AU × gender × age
    group of one origin; faces with several AUs count as one more AU. Each cell keeps at most
    `slack` times what its origin's median acceptance rate allows. The faces to reject are drawn by
    sample_id.

    Args:
        candidates: rows with sample_id, origin, edited_au, male and age.
        kept: (N,) bool, faces that passed all checks.
        slack: at least 1.
        seed: of the draw.
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
    # Cells in which nothing passed do not lower the median: they say nothing about an excess.
    rate = (cells["kept"] / cells["planned"]).where(cells["kept"] > 0)
    median = rate.groupby(cells["origin"]).transform("median")
    limit = np.ceil(slack * median * cells["planned"] - 1e-9)

    draw = pd.Series([sample_rng(seed, name).random() for name in candidates["sample_id"]])
    place = draw.where(faces["kept"]).groupby(cell).rank()
    return (place > cell.map(limit)).to_numpy()
