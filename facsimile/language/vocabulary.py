"""Words for Action Units, intensities and people: read in prompts, and written in descriptions.

AU names follow the FACS manual (Ekman and Friesen, 1978); intensity words are its terms for the
letters A (trace), B (slight), C (marked or pronounced), D (severe or extreme) and E (maximum), with
synonyms.
"""

from dataclasses import dataclass

from facsimile.faces.aus import AU_NAMES
from facsimile.language.requests import ABSENT, AGE_RANGES, GENDER_RANGES, PRESENT, Range


@dataclass(frozen=True)
class Phrases:
    """How an AU is put into words.

    Attributes:
        nouns: the movement, such as ``brow lowering``.
        states: what the face looks like, such as ``lowered brows``.
        absent: what it looks like without the AU, such as ``brows not lowered``.
    """

    nouns: tuple[str, ...]
    states: tuple[str, ...]
    absent: tuple[str, ...]


PHRASES: dict[str, Phrases] = {
    "AU01": Phrases(
        ("inner brow raise", "inner brow lift"),
        ("raised inner brows", "lifted inner brows"),
        ("still inner brows", "inner brows at rest"),
    ),
    "AU02": Phrases(
        ("outer brow raise", "outer brow lift"),
        ("raised outer brows", "lifted outer brows"),
        ("still outer brows", "outer brows at rest"),
    ),
    "AU04": Phrases(
        ("brow lowering", "frown"),
        ("lowered brows", "knitted brows", "furrowed brows"),
        ("brows not lowered", "unfurrowed brows"),
    ),
    "AU05": Phrases(
        ("upper lid raise", "lid elevation"),
        ("raised upper lids", "widened eyes", "wide eyes"),
        ("still upper lids", "upper lids at rest"),
    ),
    "AU06": Phrases(
        ("cheek raise", "cheek lift"),
        ("raised cheeks", "lifted cheeks"),
        ("still cheeks", "cheeks at rest"),
    ),
    "AU09": Phrases(
        ("nose wrinkling", "nose wrinkle"),
        ("wrinkled nose", "scrunched nose"),
        ("still nose", "nose without movement"),
    ),
    "AU12": Phrases(
        ("lip corner pull", "lip corner lift", "smile"),
        ("raised lip corners", "pulled lip corners"),
        ("lip corners not raised", "lip corners not pulled"),
    ),
    "AU15": Phrases(
        ("lip corner depression", "lip corner drop"),
        ("lowered lip corners", "downturned lip corners"),
        ("lip corners not lowered", "lip corners not downturned"),
    ),
    "AU17": Phrases(
        ("chin raise", "chin lift"),
        ("raised chin", "lifted chin"),
        ("still chin", "chin at rest"),
    ),
    "AU20": Phrases(
        ("lip stretching", "lip stretch"),
        ("stretched lips", "widened lips"),
        ("lips not stretched", "unstretched lips"),
    ),
    "AU25": Phrases(
        ("lip part", "lip separation"),
        ("parted lips", "separated lips", "open lips"),
        ("closed lips", "lips together"),
    ),
    "AU26": Phrases(
        ("jaw drop", "jaw release"),
        ("dropped jaw", "lowered jaw"),
        ("still jaw", "closed jaw"),
    ),
}
"""Written in descriptions; all are read, too."""

READ_ONLY: dict[str, tuple[str, ...]] = {
    "AU01": ("inner brows raised",),
    "AU02": ("outer brows raised",),
    "AU04": ("frowning", "brows lowered", "lowered brow", "furrowed brow"),
    "AU05": ("upper lids raised", "eyes wide", "staring eyes"),
    "AU06": ("cheeks raised",),
    "AU09": ("nose wrinkled",),
    "AU12": ("smiling", "lip corners raised"),
    "AU15": ("lip corners lowered", "lip corners down"),
    "AU17": ("chin raised",),
    "AU20": ("lips stretched",),
    "AU25": ("lips parted", "lips apart", "open mouth", "mouth open"),
    "AU26": ("jaw dropped", "dropping jaw"),
}

LETTERS = "ABCDE"
ADJECTIVES: dict[str, tuple[str, ...]] = {
    "A": ("faint", "trace"),
    "B": ("slight", "mild"),
    "C": ("marked", "pronounced"),
    "D": ("severe", "strong"),
    "E": ("maximum", "maximal"),
}
ADVERBS: dict[str, tuple[str, ...]] = {
    "A": ("faintly", "barely"),
    "B": ("slightly", "mildly"),
    "C": ("markedly", "noticeably"),
    "D": ("severely", "strongly"),
    "E": ("maximally", "fully"),
}
_LEVELS_READ_ONLY: dict[str, tuple[str, ...]] = {
    "A": ("traces of", "a hint of", "hint of", "subtle", "subtly"),
    "B": ("light", "lightly", "weak", "weakly"),
    "C": ("noticeable", "clear", "clearly", "definite", "visible", "visibly", "moderate",
          "moderately", "distinct", "prominent"),
    "D": ("extreme", "extremely", "intense", "intensely", "very"),
    "E": ("full",),
}  # fmt: skip


def level_range(letter: str) -> Range:
    """Intensities that a letter stands for: A is 0.2 ± 0.1, E is 1.0 − 0.1."""
    middle = (LETTERS.index(letter) + 1) / len(LETTERS)
    return round(middle - 0.1, 2), min(round(middle + 0.1 - 1e-6, 6), 1.0)


def letter_of(intensity: float) -> str:
    """Letter of an intensity of at least 0.1."""
    return LETTERS[min(max(int(intensity * len(LETTERS) + 0.5), 1), len(LETTERS)) - 1]


def _spoken(table: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {phrase: letter for letter, phrases in table.items() for phrase in phrases}


LEVEL_WORDS: dict[str, str] = _spoken(ADJECTIVES) | _spoken(ADVERBS) | _spoken(_LEVELS_READ_ONLY)
"""Word → letter."""

AU_PHRASES: dict[str, str] = {
    phrase: au
    for au, phrases in PHRASES.items()
    for phrase in (AU_NAMES[au], *phrases.nouns, *phrases.states, *READ_ONLY[au])
}
"""Phrase → AU that is active."""

ABSENT_PHRASES: dict[str, str] = {
    phrase: au for au, phrases in PHRASES.items() for phrase in phrases.absent
}
"""Phrase → AU that is absent."""

GENDER_WORDS: dict[str, tuple[str, ...]] = {
    "female": ("woman", "women", "female", "females", "lady", "ladies"),
    "male": ("man", "men", "male", "males", "gentleman", "gentlemen"),
}
AGE_WORDS: dict[str, tuple[str, ...]] = {
    "young": ("young", "younger"),
    "middle": ("middle-aged",),
    "old": ("old", "older", "elderly", "senior", "aged"),
}
_ACCESSORY_WORDS: dict[str, tuple[str, ...]] = {
    "eyeglasses": ("glasses", "eyeglasses", "spectacles", "bespectacled"),
    "beard": ("beard", "beards", "bearded"),
}

PEOPLE_WORDS: dict[str, tuple[str, Range]] = {
    **{w: ("male", GENDER_RANGES[name]) for name, words in GENDER_WORDS.items() for w in words},
    **{w: ("age", AGE_RANGES[name]) for name, words in AGE_WORDS.items() for w in words},
    **{w: (name, PRESENT) for name, words in _ACCESSORY_WORDS.items() for w in words},
    "clean-shaven": ("beard", ABSENT),
}
"""Word → attribute and its range."""

NEGATIONS = ("no", "not", "without", "absent")
CONTINUED = ("or", "nor")
"""A negation goes on after them."""

_FILLERS = """
a an the and with but of on in at to is are be by who that his her their its this some all any
face faces person people someone somebody adult adults expression expressions look looking show
shows showing have has having wearing conveyed through seen display displays displayed which while
otherwise only muscle muscles action unit units
"""
FILLERS = frozenset(_FILLERS.split())
"""Words without a meaning of their own here."""
