"""Understanding short prompts: emotions, muscles in words, FACS codes, and people.

Source: "MAUGen: A Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label
Generation" (Li et al., 2026), 3.1, where a language model expands a short prompt into AU
configurations. Here a dictionary does, so that the same prompt always means the same.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AU_NAMES, AUS
from facsimile.language.emotions import EMOTIONS, SYNONYMS, variants
from facsimile.language.requests import ABSENT, PRESENT, Range, Request
from facsimile.language.vocabulary import (
    ABSENT_PHRASES,
    AU_PHRASES,
    CONTINUED,
    FILLERS,
    LEVEL_WORDS,
    NEGATIONS,
    PEOPLE_WORDS,
    level_range,
)

ANY: Range = (0.3, 1.0)
"""Intensities of an AU or emotion without a word for its strength."""
NONE: Range = (0.0, 0.0)

_EMOTION_WORDS = {name: name for name in EMOTIONS} | SYNONYMS
_TABLES = (ABSENT_PHRASES, AU_PHRASES, LEVEL_WORDS, PEOPLE_WORDS, _EMOTION_WORDS)
_KNOWN = sorted(set().union(*_TABLES, NEGATIONS, CONTINUED))
_LONGEST = max(len(phrase.split()) for phrase in _KNOWN)
_TOKEN = re.compile(r"[a-z]+(?:-[a-z]+)*(?:\d[\w.=]*)?|\d[\w.=]*|\S")
_CODE = re.compile(r"(?:au)?(\d{1,2})(?:([a-e])|=(\d*\.?\d+))?")
_PAUSE = ",;.:+()"


@dataclass(frozen=True)
class Prompt:
    """What a prompt asks for.

    Attributes:
        text: as it was written.
        aus: AU → range of intensities; ``NONE`` for absent ones.
        emotions: variants (AUs) of each emotion, and the range of their intensities.
        people: attribute → range of its label.
    """

    text: str
    aus: Mapping[str, Range]
    emotions: tuple[tuple[tuple[tuple[str, ...], ...], Range], ...]
    people: Mapping[str, Range]

    def draw(self, rng: np.random.Generator) -> Request:
        """One configuration: a variant of each emotion, and intensities within their ranges.

        AUs that are stated count more than those of emotions; all others are absent.
        """
        ranges: dict[str, Range] = {}
        for of_emotion, strength in self.emotions:
            chosen = of_emotion[rng.integers(len(of_emotion))]
            ranges |= dict.fromkeys(chosen, strength)
        ranges |= self.aus
        return Request({au: rng.uniform(*ranges[au]) for au in sorted(ranges)}, self.people)


def understand(text: str, aus: Sequence[str] = AUS) -> Prompt:
    """Read a prompt such as ``marked disgust with parted lips, older men`` or ``AU4C+9D``.

    Args:
        text: emotions, muscles, FACS codes and people, with words for strength and negations.
        aus: AUs that can be shown.

    Raises:
        FacsimileError: a word is not known, an AU is not in `aus`, two parts contradict each
            other, or nothing is asked for.
    """
    reader = _Reader(text, tuple(aus))
    tokens = _TOKEN.findall(text.lower())
    position = 0
    while position < len(tokens):
        position += reader.take(tokens[position:])
    return reader.finish()


class _Reader:
    """Collects what the phrases of a prompt mean, from left to right."""

    def __init__(self, text: str, aus: tuple[str, ...]) -> None:
        self.text, self.known = text, aus
        self.aus: dict[str, Range] = {}
        self.emotions: list[tuple[tuple[tuple[str, ...], ...], Range]] = []
        self.people: dict[str, Range] = {}
        self.level: str | None = None  # word for the strength of what follows
        self.negation: str | None = None  # word that negates what follows
        self.negated: str | None = None  # word that negated what was just said

    def take(self, tokens: list[str]) -> int:
        """Read the longest known phrase at the start; returns its number of tokens."""
        for length in range(min(_LONGEST, len(tokens)), 0, -1):
            phrase = " ".join(tokens[:length])
            if self._read(phrase):
                return length
        raise self._unknown(tokens[0])

    def _read(self, phrase: str) -> bool:
        if phrase in ABSENT_PHRASES:
            self._set_au(ABSENT_PHRASES[phrase], NONE)
        elif phrase in AU_PHRASES:
            self._set_au(AU_PHRASES[phrase], self._strength())
        elif phrase in _EMOTION_WORDS:
            self._add_emotion(phrase)
        elif phrase in PEOPLE_WORDS:
            self._set_person(phrase)
        elif phrase in LEVEL_WORDS:
            self._require_no_level(phrase)
            self.level = phrase
        elif phrase in NEGATIONS:
            self._negate(phrase)
        elif match := _CODE.fullmatch(phrase):
            self._set_code(phrase, *match.groups())
        elif phrase in CONTINUED:
            self.negation = self.negated
        elif phrase in _PAUSE:
            self.negated = None
        elif phrase not in FILLERS:
            return False
        return True

    def _negate(self, word: str) -> None:
        """Negate what follows; ``AU25 absent`` negates what was just said."""
        if word == "absent":
            if not self.aus:
                raise self._error("'absent' follows no AU")
            self.aus[next(reversed(self.aus))] = NONE
        else:
            self.negation = word

    def _strength(self) -> Range:
        level, self.level = self.level, None
        if negation := self._use_negation():
            if level:
                raise self._error(f"{negation!r} and {level!r} do not go together")
            return NONE
        return level_range(LEVEL_WORDS[level]) if level else ANY

    def _use_negation(self) -> str | None:
        self.negated, self.negation = self.negation, None
        return self.negated

    def _set_code(self, phrase: str, number: str, letter: str | None, value: str | None) -> None:
        au = f"AU{int(number):02d}"
        if letter is None and value is None:
            self._set_au(au, self._strength())
            return
        self._require_no_level(phrase)
        if negation := self._use_negation():
            raise self._error(f"{negation!r} and {phrase!r} do not go together")
        if value is None:
            self._set_au(au, level_range(letter.upper()))
        elif 0 <= float(value) <= 1:
            self._set_au(au, (float(value), float(value)))
        else:
            raise self._error(f"{phrase!r}: {value} is not an intensity from 0 to 1")

    def _set_au(self, au: str, intensities: Range) -> None:
        if au not in self.known:
            known = ", ".join(f"{name} {AU_NAMES.get(name, '')}".strip() for name in self.known)
            raise self._error(f"{au} is not one of {known}")
        if self.aus.setdefault(au, intensities) != intensities:
            raise self._error(f"{au} is asked for twice, in different ways")
        self.level = None

    def _add_emotion(self, word: str) -> None:
        emotion = _EMOTION_WORDS[word]
        if negation := self._use_negation():
            raise self._error(f"'{negation} {word}': name the muscles that should not move")
        found = variants(emotion, self.known)
        if not found:
            needed = ", ".join(f"AU{n:02d}" for n in sorted({*sum(EMOTIONS[emotion], ())}))
            raise self._error(f"{word!r} needs {needed}, which cannot be shown")
        self.emotions.append((tuple(found), self._strength()))

    def _set_person(self, word: str) -> None:
        self._require_no_level(word)
        attribute, values = PEOPLE_WORDS[word]
        if negation := self._use_negation():
            if attribute not in ("eyeglasses", "beard"):
                raise self._error(f"'{negation} {word}': say who it should be instead")
            values = ABSENT if values == PRESENT else PRESENT
        if self.people.setdefault(attribute, values) != values:
            raise self._error(f"{word!r} contradicts another word about {attribute}")

    def _require_no_level(self, phrase: str) -> None:
        if self.level:
            raise self._error(f"{self.level!r} says how strong, but {phrase!r} is not a muscle")

    def finish(self) -> Prompt:
        if unused := self.level or self.negation:
            raise self._error(f"nothing follows {unused!r}")
        if not self.aus and not self.emotions and not self.people:
            raise self._error("asks for nothing; name an emotion, a muscle, an AU or people")
        return Prompt(self.text, self.aus, tuple(self.emotions), self.people)

    def _unknown(self, token: str) -> FacsimileError:
        near = difflib.get_close_matches(token, [*_KNOWN, *FILLERS], 3)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        return self._error(
            f"{token!r} is not understood; {hint}known are emotions ({', '.join(EMOTIONS)}), FACS "
            "codes such as AU4C+9D, muscles such as 'lowered brows' or 'no parted lips', strengths "
            "such as slight, marked or severe, and people such as 'older men with glasses'"
        )

    def _error(self, what: str) -> FacsimileError:
        return FacsimileError(f"prompt {self.text!r}: {what}")
