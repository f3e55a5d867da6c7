"""What the joint generator learns from: decoded codes, with AUs on which detectors agree.

Source: "MAUGen: A Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label
Generation" (Li et al., 2026), 3.4: labels are "jointly decided by multiple … AU detectors, followed
by a cross-detector agreement strategy", on faces judged realistic.

What differs from the paper. It trains on the frames of DISFA. Their codes hold an expression more
weakly than the pictures do, rare AUs hardly occur, and few people are annotated. So the faces here
are annotated frames and edits of the people of the identity bank, and all are decoded and read. The
detectors are those of stage `baseline`: one architecture with several seeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS, NUISANCES
from facsimile.filtering import LabelCorrector
from facsimile.filtering.latent import LatentDistance
from facsimile.language import Request
from facsimile.seeding import sample_rng

MAX_SPREAD = 0.25
"""Largest difference between detectors that counts as agreement."""
MIXED_RATE = 0.25
"""Probability of each AU in a face with several AUs."""


def draw_configurations(
    ids: Sequence[str], aus: Sequence[str], intensity: tuple[float, float], seed: int
) -> np.ndarray:
    """AU intensities (N, 12) to bring about: one AU on a third of the faces, independent AUs on
    the others.

    Args:
        ids: N ids, which seed the draws.
        aus: AUs to use.
        intensity: smallest and largest intensity of an active AU.
        seed: seed of all draws.
    """
    columns = [AUS.index(au) for au in aus]
    levels = np.zeros((len(ids), len(AUS)), np.float32)
    for row, name in enumerate(ids):
        rng = sample_rng(seed, f"{name}/aus")
        active = rng.random(len(columns)) < MIXED_RATE
        if rng.random() < 1 / 3:
            active = np.arange(len(columns)) == rng.integers(len(columns))
        levels[row, columns] = active * rng.uniform(*intensity, len(columns))
    return levels


def agreed_aus(
    readings: np.ndarray, thresholds: np.ndarray, reliable: np.ndarray, realistic: np.ndarray
) -> np.ndarray:
    """AU intensities (N, 12) that all detectors read alike, NaN where they do not.

    They read an AU alike if all of them detect it, at similar intensities, or all of them read less
    than ``ACTIVE_THRESHOLD``; then it is absent.

    Args:
        readings: of K detectors (K, N, 12).
        thresholds: readings (12,) from which an AU counts as detected.
        reliable: bool (12,), AUs that the detectors read well; others are NaN.
        realistic: bool (N,); other faces are NaN.
    """
    clipped = readings.clip(0, 1)
    present = (clipped >= thresholds).all(0)
    absent = (clipped < ACTIVE_THRESHOLD).all(0)
    alike = (present & (np.ptp(clipped, axis=0) <= MAX_SPREAD)) | absent
    alike &= np.asarray(reliable, bool) & np.asarray(realistic, bool)[:, None]
    intensities = np.where(present, clipped.mean(0), 0.0)
    return np.where(alike, intensities, np.nan).astype(np.float32)


def told_aus(planned: np.ndarray, readings: np.ndarray, corrector: LabelCorrector) -> np.ndarray:
    """v_pre: AU intensities (N, 12) that descriptions tell.

    Planned intensities are corrected by readings, as all labels of generated faces are. AUs that
    were not planned and are not detected are absent, not faint.

    Args:
        planned: intensities (N, 12); NaN where not annotated.
        readings: mean readings (N, 12).
        corrector: fitted to the errors of the detectors.
    """
    told = np.nan_to_num(corrector.correct(planned, readings))
    absent = (np.nan_to_num(planned) == 0) & (readings < corrector.thresholds_)
    return np.where(absent | (told < ACTIVE_THRESHOLD), 0.0, told).astype(np.float32)


def realistic_codes(z: np.ndarray, real: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Which codes (N, D) are as near to those of real faces (M, D) as 99 % of these, bool (N,)."""
    distance = LatentDistance().fit(real, subjects)
    return distance.predict(z) <= distance.limit_


def face_mask(size: int) -> np.ndarray:
    """x_mask: an ellipse over the face of an aligned crop, bool (size, size)."""
    rows, columns = (np.mgrid[:size, :size] + 0.5) / size
    return ((columns - 0.5) / 0.36) ** 2 + ((rows - 0.54) / 0.46) ** 2 <= 1


@dataclass(frozen=True)
class Narrator:
    """Describes training faces, differently in each step.

    Attributes:
        aus: AU intensities (N, 12).
        people: attributes (N, 4) in the order of ``NUISANCES``, NaN = unknown.
        describe: grammar.
        seed: seed of all draws.
    """

    aus: np.ndarray
    people: np.ndarray
    describe: Callable[[Request, np.random.Generator], str]
    seed: int

    def __call__(self, row: int, step: int) -> str:
        """A description of a row. Each known attribute is told with a probability of one half."""
        rng = np.random.default_rng([self.seed, row, step & 0xFFFFFFFF])
        levels = self.aus[row]
        told = (rng.random(len(NUISANCES)) < 0.5) & ~np.isnan(self.people[row])
        return self.describe(
            Request(
                {au: _told(level) for au, level in zip(AUS, levels, strict=True)},
                {
                    name: (value, value)
                    for name, value, tell in zip(NUISANCES, self.people[row], told, strict=True)
                    if tell
                },
            ),
            rng,
        )


def _told(level: float) -> float:
    return float(level) if level >= ACTIVE_THRESHOLD else 0.0
