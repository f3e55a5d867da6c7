"""The sets of the embedded world: their people, domains, splits and annotations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from facsimile.faces.aus import AUS, NUISANCES
from facsimile.world import expressions
from facsimile.world.expressions import ExpressionDraws

_TEST_ONLY = {"train": 0.0, "val": 0.0, "test": 1.0}
_TRAIN_ONLY = {"train": 1.0, "val": 0.0, "test": 0.0}


@dataclass(frozen=True)
class WorldSet:
    """One dataset of the embedded world, modelled on a real dataset.

    Attributes:
        stands_for: name of the real dataset that it imitates.
        splits: share of the people in each split.
        domains: domain (camera, light, background) → share of the faces.
        expressions: (draws, attributes) → AU intensities (N, 12) in [0, 1].
        subjects: number of people; None adds a new person every `faces_each` faces.
        faces_each: faces per person if `subjects` is None.
        ages: youngest and oldest, years.
        letters: whether intensities are rounded to FACS levels.
        one_session: whether all faces of a person come from one session. Otherwise each face is a
            separate photograph, in which eyeglasses and beard may be absent.
        aus: annotated AUs.
        presence_only: whether AUs are annotated for presence only.
        nuisances: annotated attributes.
    """

    stands_for: str
    splits: Mapping[str, float]
    domains: Mapping[str, float]
    expressions: Callable[[ExpressionDraws, np.ndarray], np.ndarray] = expressions.spontaneous
    subjects: int | None = None
    faces_each: int = 1
    ages: tuple[float, float] = (18.0, 80.0)
    letters: bool = False
    one_session: bool = False
    aus: tuple[str, ...] = ()
    presence_only: bool = False
    nuisances: tuple[str, ...] = ()


_DISFA = WorldSet(
    stands_for="DISFA and DISFA+",
    subjects=27,
    splits={"train": 0.6, "val": 0.15, "test": 0.25},
    domains={"studio": 1.0},
    ages=(18.0, 50.0),
    letters=True,
    one_session=True,
    aus=AUS,
)

SETS: dict[str, WorldSet] = {
    "world-disfa": _DISFA,
    "world-feafa": WorldSet(
        stands_for="FEAFA",
        subjects=40,
        splits=_TEST_ONLY,
        domains={"bright": 1.0},
        ages=(18.0, 65.0),
        one_session=True,
        aus=("AU02", "AU04", "AU09", "AU12", "AU17", "AU20", "AU26"),
    ),
    "world-bp4d": WorldSet(
        stands_for="BP4D",
        subjects=41,
        splits=_TEST_ONLY,
        domains={"dim-wide": 1.0},
        ages=(18.0, 30.0),
        one_session=True,
        aus=("AU01", "AU02", "AU04", "AU06", "AU09", "AU12", "AU15", "AU17", "AU20"),
        presence_only=True,
    ),
    "world-celeba": WorldSet(
        stands_for="CelebA",
        faces_each=8,
        splits={"train": 0.9, "val": 0.1, "test": 0.0},
        domains={"wild": 1.0},
        expressions=lambda draws, _: expressions.varied(draws),
        nuisances=NUISANCES,
    ),
    "world-ffhq": WorldSet(
        stands_for="FFHQ",
        splits={"train": 0.95, "val": 0.0, "test": 0.05},
        domains={"wild": 1.0},
        expressions=lambda draws, _: expressions.varied(draws),
    ),
    "world-oracle": WorldSet(
        stands_for="FaceReader's training data",
        faces_each=4,
        splits={"train": 0.8, "val": 0.1, "test": 0.1},
        domains={"wild": 0.55, "studio": 0.15, "bright": 0.15, "dim-wide": 0.15},
        expressions=lambda draws, _: expressions.uncorrelated(draws, draws.kind, few=0.2),
        aus=AUS,
        nuisances=NUISANCES,
    ),
    # Further people of world-disfa, which only `facsimile paper` uses: to measure on, to learn from
    # with exact labels in place of generated faces, and the same with AUs that do not co-occur.
    "world-population": replace(
        _DISFA,
        stands_for="further people of DISFA",
        subjects=216,
        splits=_TEST_ONLY,
        nuisances=NUISANCES,
    ),
    "world-further": replace(
        _DISFA, stands_for="further people of DISFA", subjects=68, splits=_TRAIN_ONLY
    ),
    "world-balanced": replace(
        _DISFA,
        stands_for="further people who pose AUs independently",
        subjects=68,
        splits=_TRAIN_ONLY,
        expressions=lambda draws, _: expressions.uncorrelated(draws, draws.kind, few=0.5),
        letters=False,
    ),
}
