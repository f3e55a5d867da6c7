"""Gender × age group: the cells in which faces are balanced.

A label on a boundary belongs to the upper group: male = 0.5 is male, age = 1/3 is middle.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

GENDERS: tuple[str, ...] = ("female", "male")
GENDER_CUTS = (0.5,)
"""Minimum label ``male`` in [0, 1] of a male face."""

AGE_GROUPS: tuple[str, ...] = ("young", "middle", "old")
AGE_CUTS = (1 / 3, 2 / 3)
"""Minimum labels ``age`` in [0, 1] of a middle-aged and an old face."""

CELLS: tuple[tuple[str, str], ...] = tuple(
    (gender, group) for gender in GENDERS for group in AGE_GROUPS
)

NOT_ANNOTATED = "not annotated"
CELL_NAMES: tuple[str, ...] = (*(f"{gender} {group}" for gender, group in CELLS), NOT_ANNOTATED)


def group_indices(labels: ArrayLike, cuts: Sequence[float]) -> np.ndarray:
    """Index (N,) of the group of each label, -1 where it is not annotated.

    Args:
        labels: N labels in [0, 1], NaN = not annotated.
        cuts: ``GENDER_CUTS`` or ``AGE_CUTS``.
    """
    labels = np.asarray(labels, np.float64)
    return np.where(np.isnan(labels), -1, np.searchsorted(cuts, labels, "right"))


def cell_names(male: ArrayLike, age: ArrayLike) -> np.ndarray:
    """Cell (N,) of each face, one of ``CELL_NAMES``, for example ``female young``.

    Args:
        male, age: N labels each, NaN = not annotated.
    """
    gender, group = group_indices(male, GENDER_CUTS), group_indices(age, AGE_CUTS)
    cell = np.where((gender < 0) | (group < 0), len(CELLS), gender * len(AGE_GROUPS) + group)
    return np.array(CELL_NAMES)[cell]
