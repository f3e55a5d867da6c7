"""Population of a set of the embedded world: person, attributes and expression of each face."""

import numpy as np
import pandas as pd

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AGE_YEARS, AUS
from facsimile.seeding import sample_rng
from facsimile.world import expressions
from facsimile.world.sets import SETS, WorldSet

# Share of photographs in which a person with eyeglasses or a beard actually wears them.
_WORN_SHARE = 0.8

_GOLDEN = (1.0 + 5.0**0.5) / 2.0


def population(name: str, faces: int, seed: int) -> pd.DataFrame:
    """Draw the first `faces` faces of a set; a larger draw starts with the same rows.

    Args:
        name: a key of ``SETS``.
        faces: number of rows.
        seed: seed of the world; a face depends only on it and on its sample_id.

    Returns:
        Columns sample_id, subject_id, session_id, split, the 12 AUs (float32 in [0, 1], the true
        values even if the set does not annotate them), eyeglasses, beard, male (bool), age (float32
        years in [18, 80]), domain.

    Raises:
        FacsimileError: unknown set.
    """
    if name not in SETS:
        raise FacsimileError(f"no set {name!r} in the embedded world, only {', '.join(SETS)}")
    world_set = SETS[name]
    numbers = np.arange(faces)
    if world_set.subjects is None:
        subject, frame = np.divmod(numbers, world_set.faces_each)
    else:
        frame, subject = np.divmod(numbers, world_set.subjects)
    people = _draw_people(name, world_set, subject.max(initial=-1) + 1, seed)
    table = people.iloc[subject].reset_index(drop=True)
    table.insert(0, "sample_id", table["subject_id"] + [f"/{number:06d}" for number in frame])

    generators = [sample_rng(seed, sample_id) for sample_id in table["sample_id"]]
    day = np.array([rng.random(3) for rng in generators]).reshape(-1, 3)
    draws = expressions.ExpressionDraws.from_generators(generators)

    if not world_set.one_session:
        table["eyeglasses"] &= day[:, 0] < _WORN_SHARE
        table["beard"] &= day[:, 1] < _WORN_SHARE
    session = "subject_id" if world_set.one_session else "sample_id"
    table.insert(2, "session_id", table[session])
    domains = np.array(list(world_set.domains))
    shares = np.cumsum(list(world_set.domains.values()))
    table["domain"] = domains[np.searchsorted(shares[:-1], day[:, 2], side="right")]

    youngest, oldest = AGE_YEARS
    old = (table["age"] - youngest) / (oldest - youngest)
    attributes = np.stack([table["eyeglasses"], table["male"], old], axis=1).astype(float)
    aus = world_set.expressions(draws, attributes) * table.pop("expressivity").to_numpy()[:, None]
    aus = np.clip(aus, 0.0, 1.0)
    if world_set.letters:
        aus = expressions.to_letters(aus)
    table[list(AUS)] = expressions.part_lips(aus).astype(np.float32)
    return table


def _draw_people(name: str, world_set: WorldSet, subjects: int, seed: int) -> pd.DataFrame:
    """Draw the people of a set by quota, as for a study.

    Subjects alternate between women and men; each such pair is in the same split. The other
    attributes come from an additive recurrence (Roberts' R sequence), which spreads them evenly
    over any number of subjects.
    """
    number = np.arange(subjects)
    offset = sample_rng(seed, name).random(4)
    steps = _generalised_golden_ratio(3) ** -np.arange(1.0, 4.0)
    is_male = number % 2 == 1
    split = (offset[0] + number // 2 * _GOLDEN) % 1.0
    eyeglasses, beard, age = ((offset[1:] + number[:, None] * steps) % 1.0).T

    youngest, oldest = world_set.ages
    years = youngest + (oldest - youngest) * age**1.3  # young people are more frequent
    old = (years - AGE_YEARS[0]) / (AGE_YEARS[1] - AGE_YEARS[0])
    ends = np.cumsum(list(world_set.splits.values()))
    names = np.array(list(world_set.splits))
    ids = [f"{name}/SN{k + 1:03d}" for k in number]
    return pd.DataFrame(
        {
            "subject_id": ids,
            "split": names[np.searchsorted(ends[:-1], split, side="right")],
            "eyeglasses": eyeglasses < 0.2 + 0.3 * old,
            "beard": is_male & (beard < 0.45),
            "male": is_male,
            "age": years.astype(np.float32),
            "expressivity": [
                np.exp(0.15 * sample_rng(seed, subject_id).standard_normal()) for subject_id in ids
            ],
        }
    )


def _generalised_golden_ratio(dimensions: int) -> float:
    """Positive root of x^(d+1) = x + 1, by fixed-point iteration."""
    root = 1.5
    for _ in range(60):
        root = (1.0 + root) ** (1.0 / (dimensions + 1))
    return root
