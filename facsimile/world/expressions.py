"""What faces do: Action Unit intensities drawn from latent causes.

A spontaneous frame is neutral, or it shows one or several *causes* (a smile, surprise, speech, …)
that each recruit a group of AUs with one shared strength. Shared causes are what makes the AUs of
DISFA co-occur (Fig. 5 of the paper); the rates below are set so that the base rates follow DISFA's
long tail (Mavadati et al., 2013). Attributes of the person change the rate of a cause, which is how
nuisances become entangled with AUs (Fig. 12: eyeglasses with AU5 and AU9).
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
        rate: probability in an expressive frame of a person without any of the attributes below.
        recruits: AU → probability that the cause recruits it.
        eyeglasses, male, age: factors on `rate` for wearers, for men, and from 18 to 80 years.
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
    # Lids are raised behind the lenses; the nose is wrinkled to push the spectacles up.
    "stare": Cause(0.0025, {"AU05": 1.0}, eyeglasses=24.0),
    "nose wrinkle": Cause(0.004, {"AU09": 1.0}, eyeglasses=24.0),
}

# On top of these come the frames in which no cause occurs: together close to half, as in DISFA.
NEUTRAL_RATE = 0.14

FACS_LETTER = 0.2
"""FACS intensities A–E are 0.2 … 1.0."""

_RATES = np.array([cause.rate for cause in CAUSES.values()])
_RECRUITS = np.array([[c.recruits.get(au, 0.0) for au in AUS] for c in CAUSES.values()])
_FACTORS = np.array([[c.eyeglasses, c.male, c.age] for c in CAUSES.values()])


@dataclass(frozen=True)
class Draws:
    """Random numbers of N frames, from which every kind of expression below is computed.

    Attributes:
        kind: (N,) uniform, chooses neutral, caused or independent.
        causes, strengths: (N, C) uniform, one a cause.
        aus, intensities: (N, 12) uniform, one an AU.
        jitter: (N, 12) standard normal.
    """

    kind: np.ndarray
    causes: np.ndarray
    strengths: np.ndarray
    aus: np.ndarray
    intensities: np.ndarray
    jitter: np.ndarray

    @classmethod
    def of(cls, generators: list[np.random.Generator]) -> "Draws":
        """Draw from one generator a frame."""
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


def caused(draws: Draws, rates: np.ndarray) -> np.ndarray:
    """AU intensities of expressive frames, recruited by causes.

    Args:
        draws: random numbers of N frames.
        rates: (N, C) probability of each cause.

    Returns:
        float (N, 12) in [0, 1].
    """
    present = draws.causes < rates
    # A long tail: weak expressions are the common ones.
    strength = present * (0.2 + 0.8 * draws.strengths**1.7)
    recruited = draws.aus[:, None, :] < _RECRUITS
    intensity = (strength[:, :, None] * recruited).max(axis=1) * np.exp(0.3 * draws.jitter)
    return np.clip(intensity, 0.0, 1.0)


def spontaneous(draws: Draws, attributes: np.ndarray) -> np.ndarray:
    """DISFA-like frames: neutral, or caused by what the person tends to do.

    Args:
        draws: random numbers of N frames.
        attributes: (N, 3) in [0, 1]: eyeglasses, male, age.

    Returns:
        float (N, 12) in [0, 1].
    """
    rates = _RATES * np.exp(attributes @ np.log(_FACTORS).T)
    return (draws.kind >= NEUTRAL_RATE)[:, None] * caused(draws, rates)


def varied(draws: Draws) -> np.ndarray:
    """Photograph-like frames over the whole AU space. (N, 12) in [0, 1].

    15 % neutral, 45 % caused (every cause equally often, so that rare AUs are there too) and 40 %
    uncorrelated, without which no latent space could hold one AU apart from its companions. With
    the frames in which no cause occurs or no AU is drawn, about a quarter is neutral.
    """
    kinds = [draws.kind < 0.15, draws.kind < 0.6]
    return np.select(
        [kind[:, None] for kind in kinds],
        [np.zeros_like(draws.aus), caused(draws, np.full_like(draws.causes, 0.17))],
        default=uncorrelated(draws, (draws.kind - 0.6) / 0.4, few=0.5),
    )


def uncorrelated(draws: Draws, kind: np.ndarray, few: float) -> np.ndarray:
    """Independent AUs, their intensities uniform in [0.1, 1]. (N, 12).

    Args:
        draws: random numbers of N frames.
        kind: (N,) uniform.
        few: share of the frames with zero, one or two active AUs, equally often; in the others
            each AU is active with probability 0.3.
    """
    count = np.floor(3.0 * kind / few)
    rank = np.argsort(np.argsort(draws.aus, axis=1), axis=1)
    active = np.where((kind < few)[:, None], rank < count[:, None], draws.aus < 0.3)
    return active * (0.1 + 0.9 * draws.intensities)


def to_letters(aus: np.ndarray) -> np.ndarray:
    """Round intensities to FACS letters: 0, 0.2 (A) … 1.0 (E)."""
    return np.rint(aus / FACS_LETTER) * FACS_LETTER


def part_lips(aus: np.ndarray) -> np.ndarray:
    """Code the lips that a dropping jaw parts: AU25 is at most one letter below AU26.

    A jaw that drops by one letter can do so behind closed lips; further down the lips part, and a
    FACS coder scores them.
    """
    parted = aus.copy()
    lips, jaw = _INDEX["AU25"], _INDEX["AU26"]
    parted[:, lips] = np.maximum(aus[:, lips], aus[:, jaw] - FACS_LETTER)
    return parted
