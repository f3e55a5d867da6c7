"""Emotions as AU configurations.

Source: prototypes and major variants of P. Ekman, W. V. Friesen, J. C. Hager: *Facial Action Coding
System. Investigator's Guide* (2002), Table 10-2, from which EMFACS (Friesen and Ekman, 1983) codes
emotions.
"""

from collections.abc import Sequence

EMOTIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "happiness": ((6, 12), (12,)),
    "sadness": (
        (1, 4, 11, 15),
        (1, 4, 15),
        (1, 4, 15, 17),
        (1, 4, 11),
        (6, 15),
        (11, 15),
        (11, 17),
    ),
    "surprise": ((1, 2, 5, 26), (1, 2, 5, 27), (1, 2, 5), (1, 2, 26), (5, 26)),
    "fear": (
        (1, 2, 4, 5, 20, 25),
        (1, 2, 4, 5, 20, 26),
        (1, 2, 4, 5, 25),
        (1, 2, 4, 5),
        (1, 2, 5, 25),
        (5, 20),
    ),
    "anger": (
        (4, 5, 7, 10, 22, 23, 25),
        (4, 5, 7, 10, 23, 26),
        (4, 5, 7, 23, 25),
        (4, 5, 7, 17, 23),
        (4, 5, 7, 17, 24),
        (4, 5, 7, 23),
    ),
    "disgust": ((9,), (9, 16, 25), (9, 15, 16), (9, 17), (10, 17), (10, 16, 26)),
    "contempt": ((14,),),
    "neutral": ((),),
}
"""Emotion → AU numbers of each variant."""

SYNONYMS: dict[str, str] = {
    "happy": "happiness",
    "joy": "happiness",
    "joyful": "happiness",
    "enjoyment": "happiness",
    "amused": "happiness",
    "amusement": "happiness",
    "sad": "sadness",
    "grief": "sadness",
    "sorrow": "sadness",
    "surprised": "surprise",
    "astonished": "surprise",
    "astonishment": "surprise",
    "afraid": "fear",
    "fearful": "fear",
    "scared": "fear",
    "angry": "anger",
    "rage": "anger",
    "furious": "anger",
    "disgusted": "disgust",
    "contemptuous": "contempt",
    "scorn": "contempt",
    "expressionless": "neutral",
}


def variants(emotion: str, aus: Sequence[str]) -> list[tuple[str, ...]]:
    """Distinct variants of an emotion, without the AUs that are not in `aus`.

    The first AU of a variant is what the emotion is known by. Variants without it are dropped, so
    the list is empty if the emotion cannot be shown with these AUs.
    """
    found: dict[tuple[str, ...], None] = {}
    for numbers in EMOTIONS[emotion]:
        names = [f"AU{number:02d}" for number in numbers]
        if set(names[:1]) <= set(aus):
            found[tuple(au for au in names if au in aus)] = None
    return list(found)
