"""Appearance of people, sessions and frames of the embedded world, drawn from their seeds.

Head shape, skin, hair, brows, eyes, glasses frame and beard style belong to a person; camera,
lights and background to a session; pose and gaze to a frame.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from facsimile.faces.aus import AUS
from facsimile.world.head import ETHNICITIES, FACE_UNITS, SHAPES, WEIGHTS

# Linear RGB reflectances.
_PALE, _TAN, _DEEP = (
    np.array(c) for c in ([0.72, 0.47, 0.36], [0.47, 0.26, 0.16], [0.13, 0.06, 0.04])
)
_HAIR = np.array(
    [[0.012, 0.009, 0.008], [0.045, 0.022, 0.012], [0.13, 0.06, 0.03], [0.36, 0.22, 0.10]]
)
_GREY = np.array([0.42, 0.41, 0.40])
_IRIS = np.array([[0.05, 0.025, 0.012], [0.11, 0.07, 0.03], [0.10, 0.17, 0.10], [0.12, 0.22, 0.36]])
_FRAMES = np.array(
    [[0.01, 0.01, 0.012], [0.06, 0.02, 0.01], [0.15, 0.02, 0.02], [0.02, 0.04, 0.12]]
)


class Person(NamedTuple):
    """Constant appearance of a person. Lengths in decimetres, colours linear RGB in [0, 1]."""

    coefficients: np.ndarray  # (C,) of the head model, without expression
    skin: np.ndarray
    lips: np.ndarray
    hair: np.ndarray
    brow: np.ndarray
    iris: np.ndarray
    frame: np.ndarray
    hairline: float  # height above the average
    recession: float  # of the hairline at the temples
    baldness: float  # 0 … 1: how far the scalp shows through the hair
    hair_thickness: float
    hair_length: float  # 0 short … 1 below the shoulders; below 0.15 there are no locks
    brow_density: float
    brow_width: float
    beard_density: float
    moustache: float  # weights of the beard's parts, 0 … 1
    goatee: float
    jaw_beard: float
    glasses_width: float  # half-axes and thickness of a rim
    glasses_height: float
    glasses_squareness: float  # exponent of the superellipse
    rim: float
    wrinkles: float  # 0 … 1


class Session(NamedTuple):
    """Camera, lights and background of one session."""

    distance: float  # of the camera, decimetres
    yaw: float  # mean pose, radians
    pitch: float
    light: np.ndarray  # (3,) unit vector towards the key light
    key: np.ndarray  # (3,) linear RGB
    ambient: np.ndarray
    top: np.ndarray  # (3,) background colours
    bottom: np.ndarray
    slant: float  # of the background gradient, -1 … 1


class Frame(NamedTuple):
    """Pose and gaze of one frame, radians."""

    yaw: float
    pitch: float
    roll: float
    gaze_x: float
    gaze_y: float


class _Domain(NamedTuple):
    distance: tuple[float, float]
    azimuth: float  # standard deviation of the key light, radians
    key: tuple[float, float]
    ambient: tuple[float, float]
    background: tuple[float, float]
    colourful: float
    pose: float  # standard deviation of the session's yaw, radians


_DOMAINS = {
    "studio": _Domain((14, 18), 0.25, (0.75, 0.95), (0.40, 0.50), (0.05, 0.16), 0.05, 0.03),
    "bright": _Domain((10, 13), 0.20, (0.65, 0.85), (0.75, 0.95), (0.55, 0.80), 0.03, 0.04),
    "dim-wide": _Domain((6, 8), 0.35, (0.40, 0.60), (0.22, 0.32), (0.02, 0.08), 0.06, 0.05),
    "wild": _Domain((7, 18), 0.55, (0.50, 1.00), (0.30, 0.75), (0.03, 0.45), 0.14, 0.07),
}


def draw_person(rng: np.random.Generator, names: dict[str, int], male: bool, age: float) -> Person:
    """Draw a person. Always draws glasses and beard; the population decides if they are worn.

    Args:
        rng: random generator of this person.
        names: component of the head model → column of its coefficient.
        male: gender of the head.
        age: years.
    """
    mixture = rng.dirichlet([0.5] * len(ETHNICITIES))
    melanin = mixture @ np.array([0.92, 0.38, 0.14]) + rng.normal(0, 0.07)
    weight = np.clip(rng.normal(0, 0.45), -1, 1)
    strength = rng.uniform(0.9, 1.15)
    local = {name: rng.standard_normal() for name in SHAPES}
    shade = np.clip(0.35 + 1.1 * mixture[2] + rng.normal(0, 0.8) * mixture[2], 0, 3)
    greying, tone, iris_draw, brow_draw = rng.random(4)
    hairline, temples, bald, volume, length = rng.random(5)
    beard = rng.random(4)
    rims = rng.random(5)
    lip_colour, frown = rng.random(2)

    old = np.clip((age - 25) / 60, 0, 1)
    is_male = strength if male else 1 - strength
    weights = np.array([max(-weight, 0), 1 - abs(weight), max(weight, 0)])
    coefficients = np.zeros(len(names))
    for gender, share in (("male", is_male), ("female", 1 - is_male)):
        for time, part in (("young", 1 - old), ("old", old)):
            for ethnicity, m in zip(ETHNICITIES, mixture, strict=True):
                coefficients[names[f"{ethnicity}-{gender}-{time}"]] = share * part * m
            for build, w in zip(WEIGHTS, weights, strict=True):
                coefficients[names[f"{gender}-{time}-{build}"]] = share * part * w
    for name, deviation in SHAPES.items():
        value = np.clip(local[name], -2, 2) * deviation
        coefficients[names[name]] = value if " " in name else abs(value)

    # The eyes of the base mesh are half closed; wider eyes leave room for both AU6 and AU5.
    coefficients[names["eyeWide"]] = 0.4
    skin = _between(np.stack([_PALE, _TAN, _DEEP]), 2 * np.clip(melanin, 0, 1)) * (
        0.92 + 0.16 * tone
    )
    pigment = _between(_HAIR, shade)
    grey = np.clip((age - 38) / 35 + 0.8 * (greying - 0.5), 0, 1)
    redness = np.array([0.80, 0.42, 0.45]) if male else np.array([0.85, 0.33, 0.38])
    losing = male * np.clip((age - 28) / 40, 0, 1)
    return Person(
        coefficients=coefficients,
        skin=skin,
        lips=skin * (redness + 0.1 * (lip_colour - 0.5)),
        hair=pigment + (_GREY - pigment) * grey,
        brow=pigment * 0.8 + (_GREY * 0.6 - pigment * 0.8) * 0.7 * grey,
        iris=_between(_IRIS, 3 * np.clip(mixture[2] * 1.3 * iris_draw, 0, 1)),
        frame=_FRAMES[int(rims[0] * len(_FRAMES))],
        hairline=0.10 * (hairline - 0.5) + 0.14 * losing * temples,
        recession=0.12 + 0.1 * male + 0.35 * losing * temples,
        baldness=float(losing * max(0.0, 1.6 * bald - 0.4)),
        hair_thickness=0.03 + 0.10 * volume if male else 0.07 + 0.09 * volume,
        hair_length=0.12 * length if male else 0.1 + 0.9 * length,
        brow_density=0.60 + 0.35 * brow_draw if male else 0.50 + 0.35 * brow_draw,
        brow_width=0.040 + 0.014 * tone if male else 0.028 + 0.012 * tone,
        beard_density=0.55 + 0.4 * beard[0],
        moustache=float(beard[1] < 0.85),
        goatee=float(beard[2] < 0.9),
        jaw_beard=float(beard[3] < 0.7),
        glasses_width=0.215 + 0.03 * rims[1],
        glasses_height=0.14 + 0.05 * rims[2],
        glasses_squareness=2.2 + 2.5 * rims[3],
        rim=0.026 + 0.016 * rims[4],
        wrinkles=float(np.clip((age - 30) / 45, 0, 1) * (0.6 + 0.4 * frown)),
    )


def draw_session(rng: np.random.Generator, domain: str) -> Session:
    """Draw camera, lights and background of a domain (a key of `WorldSet.domains`)."""
    ranges = _DOMAINS[domain]
    azimuth, height = rng.normal(0, ranges.azimuth), rng.normal(0.45, 0.15)
    warmth, hue = rng.normal(0, 0.08), rng.normal(0, 1, 3)
    distance, key, ambient, grey, other = rng.uniform(size=5)
    yaw, pitch, slant = rng.normal(0, [ranges.pose, 0.6 * ranges.pose, 0.5])
    light = np.array(
        [np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)]
    )
    colour = np.array([1 + warmth, 1, 1 - warmth])
    low, high = ranges.background
    backgrounds = [
        low + (high - low) * g for g in (grey, np.clip(grey + 0.5 * (other - 0.5), 0, 1))
    ]
    tint = np.clip(1 + ranges.colourful * hue, 0.3, 1.7)
    return Session(
        distance=float(np.interp(distance, [0, 1], ranges.distance)),
        yaw=float(np.clip(yaw, -0.2, 0.2)),
        pitch=float(np.clip(pitch, -0.12, 0.12)),
        light=light,
        key=colour * np.interp(key, [0, 1], ranges.key),
        ambient=(2 - colour) * np.interp(ambient, [0, 1], ranges.ambient),
        top=backgrounds[0] * tint,
        bottom=backgrounds[1] * tint,
        slant=float(np.clip(slant, -1, 1)),
    )


def draw_frame(rng: np.random.Generator) -> Frame:
    """Draw the pose and gaze of a frame."""
    return Frame(*np.clip(rng.normal(0, [0.05, 0.04, 0.015, 0.10, 0.05]), -0.2, 0.2).tolist())


def expression(names: dict[str, int], aus: pd.DataFrame) -> np.ndarray:
    """Face unit coefficients (N, C) for N rows of AU intensities (columns ``AUS``)."""
    gains = np.zeros((len(AUS), len(names)))
    for unit, users in FACE_UNITS.items():
        for au, gain in users.items():
            gains[AUS.index(au), names[unit]] = gain
    return aus[list(AUS)].to_numpy(float) @ gains


def _between(stops: np.ndarray, position: float) -> np.ndarray:
    """Colour at `position` among the rows, interpolated geometrically as pigments mix."""
    low = int(np.clip(np.floor(position), 0, len(stops) - 2))
    part = np.clip(position - low, 0, 1)
    return np.exp((1 - part) * np.log(stops[low]) + part * np.log(stops[low + 1]))
