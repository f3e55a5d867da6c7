"""Expressions of the embedded world: Action Unit intensities drawn from latent causes.

A spontaneous frame is neutral or shows one or more *causes* (smile, surprise, speech, …), each of
which activates a group of AUs with a shared strength. Shared causes make AUs co-occur as in DISFA
(Fig. 5 of the paper); the rates below reproduce DISFA's long tail of base rates (Mavadati et al.,
2013). Attributes of a person change the rates, which entangles nuisances with AUs (Fig. 12:
eyeglasses with AU5 and AU9).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from facsimile.faces.aus import AUS

_INDEX = {au: k for k, au in enumerate(AUS)}


@dataclass(frozen=True)
class Cause:
    """A latent common cause of several AUs.

    Attributes:
        rate: probability in an expressive frame, for a person with all attributes below at 0.
        recruits: AU → probability that the cause activates it.
        eyeglasses, male, age: factors on `rate` for an attribute of 1 (age: 80 instead of 18).
    """

    rate: float
    recruits: Mapping[str, float]
    eyeglasses: float = 1.0
    male: float = 1.0
    age: float = 1.0


CAUSES: dict[str, Cause] = {
    "smile": Cause(0.245, {"AU06": 0.55, "AU12": 0.95, "AU25": 0.5}, male=0.75),
    "laugh": Cause(0.09, {"AU06": 0.8, "AU12": 1.0, "AU25": 1.0, "AU26": 0.4}, male=0.75),
    "surprise": Cause(0.057, {"AU01": 0.9, "AU02": 0.9, "AU05": 0.1, "AU25": 0.8, "AU26": 0.7}),
    "fear": Cause(
        0.034,
        {"AU01": 0.7, "AU02": 0.4, "AU04": 0.6, "AU05": 0.2, "AU20": 0.9, "AU25": 0.9, "AU26": 0.5},
    ),
    "disgust": Cause(0.052, {"AU04": 0.7, "AU06": 0.4, "AU09": 0.9, "AU15": 0.25, "AU17": 0.5}),
    "anger": Cause(0.053, {"AU04": 0.9, "AU05": 0.05, "AU17": 0.5}, male=1.3),
    "sadness": Cause(0.07, {"AU01": 0.3, "AU04": 0.6, "AU15": 0.9, "AU17": 0.8}),
    "frown": Cause(0.075, {"AU04": 1.0}, age=2.0),
    "speech": Cause(0.23, {"AU25": 1.0, "AU26": 0.6}),
    "grimace": Cause(0.012, {"AU20": 0.9, "AU25": 0.4}),
    # People raise their lids behind glasses, and wrinkle the nose to push them up.
    "stare": Cause(0.0025, {"AU05": 1.0}, eyeglasses=24.0),
    "nose wrinkle": Cause(0.004, {"AU09": 1.0}, eyeglasses=24.0),
}

# With the frames in which no cause occurs, close to half of all frames are neutral, as in DISFA.
NEUTRAL_RATE = 0.14

FACS_LETTER = 0.2
"""Step between FACS levels: A–E are 0.2 … 1.0."""

_RATES = np.array([cause.rate for cause in CAUSES.values()])
_RECRUITS = np.array([[c.recruits.get(au, 0.0) for au in AUS] for c in CAUSES.values()])
_FACTORS = np.array([[c.eyeglasses, c.male, c.age] for c in CAUSES.values()])


@dataclass(frozen=True)
class ExpressionDraws:
    """Random numbers of N frames, from which all kinds of expressions are computed.

    Attributes:
        kind: (N,) uniform; selects neutral, caused or independent AUs.
        causes, strengths: (N, C) uniform, one per cause.
        aus, intensities: (N, 12) uniform, one per AU.
        jitter: (N, 12) standard normal.
    """

    kind: np.ndarray
    causes: np.ndarray
    strengths: np.ndarray
    aus: np.ndarray
    intensities: np.ndarray
    jitter: np.ndarray

    @classmethod
    def from_generators(cls, generators: list[np.random.Generator]) -> "ExpressionDraws":
        """Draw from one generator per frame."""
        c, k = len(CAUSES), len(AUS)
        uniform = np.empty((len(generators), 1 + 2 * c + 2 * k))
        jitter = np.empty((len(generators), k))
        for row, rng in enumerate(generators):
            uniform[row] = rng.random(uniform.shape[1])
            jitter[row] = rng.standard_normal(k)
        kind, causes, strengths, aus, intensities = np.split(
            uniform, np.cumsum([1, c, c, k]), axis=1
        )
        return cls(kind[:, 0], causes, strengths, aus, intensities, jitter)


def caused(draws: ExpressionDraws, rates: np.ndarray) -> np.ndarray:
    """AU intensities of expressive frames, activated by causes.

    Args:
        draws: random numbers of N frames.
        rates: (N, C) probability of each cause.

    Returns:
        float (N, 12) in [0, 1].
    """
    present = draws.causes < rates
    # Long tail: weak expressions are the most frequent.
    strength = present * (0.2 + 0.8 * draws.strengths**1.7)
    recruited = draws.aus[:, None, :] < _RECRUITS
    intensity = (strength[:, :, None] * recruited).max(axis=1) * np.exp(0.3 * draws.jitter)
    return np.clip(intensity, 0.0, 1.0)


def spontaneous(draws: ExpressionDraws, attributes: np.ndarray) -> np.ndarray:
    """DISFA-like frames: neutral, or caused at the rates of the person.

    Args:
        draws: random numbers of N frames.
        attributes: (N, 3) in [0, 1]: eyeglasses, male, age.

    Returns:
        float (N, 12) in [0, 1].
    """
    rates = _RATES * np.exp(attributes @ np.log(_FACTORS).T)
    return (draws.kind >= NEUTRAL_RATE)[:, None] * caused(draws, rates)


def varied(draws: ExpressionDraws) -> np.ndarray:
    """Expressions as in photographs, covering the whole AU space. (N, 12) in [0, 1].

    15 % neutral, 45 % caused (all causes equally often, so that rare AUs occur) and 40 %
    uncorrelated, without which a latent space could not separate co-occurring AUs. Including frames
    in which no cause or AU occurs, about a quarter is neutral.
    """
    kinds = [draws.kind < 0.15, draws.kind < 0.6]
    return np.select(
        [kind[:, None] for kind in kinds],
        [np.zeros_like(draws.aus), caused(draws, np.full_like(draws.causes, 0.17))],
        default=uncorrelated(draws, (draws.kind - 0.6) / 0.4, few=0.5),
    )


def uncorrelated(draws: ExpressionDraws, kind: np.ndarray, few: float) -> np.ndarray:
    """Independent AUs with intensities uniform in [0.1, 1]; 0 if inactive. (N, 12).

    Args:
        draws: random numbers of N frames.
        kind: (N,) uniform.
        few: share of frames with zero, one or two active AUs (equally often); in the others, each
            AU is active with probability 0.3.
    """
    count = np.floor(3.0 * kind / few)
    rank = np.argsort(np.argsort(draws.aus, axis=1), axis=1)
    active = np.where((kind < few)[:, None], rank < count[:, None], draws.aus < 0.3)
    return active * (0.1 + 0.9 * draws.intensities)


def to_letters(aus: np.ndarray) -> np.ndarray:
    """Round intensities to FACS levels: 0, 0.2 (A) … 1.0 (E)."""
    return np.rint(aus / FACS_LETTER) * FACS_LETTER


def part_lips(aus: np.ndarray) -> np.ndarray:
    """Raise AU25 to at least one level below AU26, because a dropping jaw parts the lips.

    The lips can stay closed while the jaw drops by one level; beyond that they part, and a FACS
    coder scores AU25.
    """
    parted = aus.copy()
    lips, jaw = _INDEX["AU25"], _INDEX["AU26"]
    parted[:, lips] = np.maximum(aus[:, lips], aus[:, jaw] - FACS_LETTER)
    return parted
