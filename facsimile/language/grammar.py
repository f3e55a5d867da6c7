"""Descriptions of faces, muscle by muscle, in varied sentences.

Source: "MAUGen: A Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label
Generation" (Li et al., 2026), 3.1 and Fig. 4, where a language model writes them. `Expander` is the
place for one; by default the grammar writes, and `facsimile.language.prompts` can read what it
writes.
"""

from collections.abc import Callable

import numpy as np

from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS
from facsimile.language.requests import AGE_RANGES, GENDER_RANGES, PRESENT, Range, Request
from facsimile.language.vocabulary import ADJECTIVES, ADVERBS, PHRASES, letter_of

Expander = Callable[[Request, np.random.Generator], str]
"""(request, random generator) → a description of it."""

MAX_ABSENT = 3
"""Most absent AUs that a description states."""

_TEMPLATES = (
    "{who} with {list}.",
    "{who} showing {list}.",
    "an expression of {who}, conveyed through {list}.",
    "{list} on the face of {who}.",
    "the face of {who}: {list}.",
)
_HELD_OUT_TEMPLATES = ("{who} displays {list}.", "{list}, seen on the face of {who}.")
_GENDERS = {"female": "woman", "male": "man"}
_AGES = {"young": "young", "middle": "middle-aged", "old": "old"}
_NOBODY = ("someone", "a person", "an adult")


def describe(request: Request, rng: np.random.Generator, *, held_out: bool = False) -> str:
    """A sentence that tells AUs with their FACS letters, some absent AUs, and the person.

    Args:
        request: AUs of less than 0.1 count as absent.
        rng: draws words, order and template.
        held_out: use templates that are never used otherwise, to see how a model that learns from
            descriptions copes with new ones.
    """
    levels = {au: request.aus.get(au, 0.0) for au in AUS}
    active = [au for au in AUS if levels[au] >= ACTIVE_THRESHOLD]
    absent = [au for au in AUS if au not in active]
    count = min(int(rng.integers(MAX_ABSENT + 1)), len(absent))
    parts = [_active(au, letter_of(levels[au]), rng) for au in active]
    parts += [_absent(au, rng) for au in rng.permutation(absent)[:count]]
    if not active:
        parts.append("a neutral expression")
    parts = list(rng.permutation(parts))
    text = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    template = _pick(_HELD_OUT_TEMPLATES if held_out else _TEMPLATES, rng)
    return template.format(who=_person(request, rng), list=text)


def _active(au: str, letter: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.5:
        return f"a {_pick(ADJECTIVES[letter], rng)} {_pick(PHRASES[au].nouns, rng)}"
    return f"{_pick(ADVERBS[letter], rng)} {_pick(PHRASES[au].states, rng)}"


def _absent(au: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.5:
        return f"no {_pick(PHRASES[au].nouns, rng)}"
    return _pick(PHRASES[au].absent, rng)


def _person(request: Request, rng: np.random.Generator) -> str:
    people = request.people
    age = _group(people.get("age"), AGE_RANGES, _AGES)
    noun = _group(people.get("male"), GENDER_RANGES, _GENDERS)
    words = " ".join(word for word in (age, noun or "adult") if word)
    article = "an" if words[0] in "aeo" else "a"
    who = f"{article} {words}" if age or noun else _pick(_NOBODY, rng)
    extras = {
        name: people[attribute][1] >= PRESENT[0]
        for attribute, name in (("eyeglasses", "glasses"), ("beard", "a beard"))
        if attribute in people
    }
    worn = [f"with {name}" for name, has in extras.items() if has]
    lacking = [f"without {name}" for name, has in extras.items() if not has]
    return " ".join([who, " and ".join(worn + lacking)]).strip()


def _group(values: Range | None, ranges: dict[str, Range], words: dict[str, str]) -> str:
    """The word for the group in which the middle of a range of labels lies."""
    if values is None:
        return ""
    middle = sum(values) / 2
    return next(words[name] for name, (_, high) in ranges.items() if middle <= high)


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[rng.integers(len(options))]
