"""Prompts: what is understood, what is not, and descriptions that say what was asked for."""

import numpy as np
import pytest

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AU_NAMES, AUS, NUISANCES
from facsimile.language import EMOTIONS, Request, describe, understand
from facsimile.language.emotions import SYNONYMS, variants
from facsimile.language.prompts import ANY, NONE
from facsimile.language.vocabulary import LETTERS, PHRASES, letter_of, level_range

C, D = level_range("C"), level_range("D")


@pytest.mark.parametrize(
    ("prompt", "aus"),
    [
        ("AU4C+9D", {"AU04": C, "AU09": D}),
        ("4C + 9D", {"AU04": C, "AU09": D}),
        ("AU12=0.8, AU25", {"AU12": (0.8, 0.8), "AU25": ANY}),
        ("no AU25, AU12", {"AU25": NONE, "AU12": ANY}),
        ("AU12C, AU25 absent", {"AU12": C, "AU25": NONE}),
        ("marked brow lowerer and severe nose wrinkling", {"AU04": C, "AU09": D}),
        ("no parted lips or nose wrinkling, a smile", {"AU25": NONE, "AU09": NONE, "AU12": ANY}),
        ("without a smile, dropped jaw", {"AU12": NONE, "AU26": ANY}),
        ("brows not lowered, still cheeks", {"AU04": NONE, "AU06": NONE}),
        ("Extremely wide eyes", {"AU05": D}),
    ],
)
def test_aus_are_understood(prompt: str, aus: dict[str, tuple[float, float]]) -> None:
    assert understand(prompt).aus == aus


def test_people_are_understood() -> None:
    people = understand("marked disgust with parted lips, older men with glasses, no beard").people
    assert people["male"] == (0.5, 1.0) and people["eyeglasses"] == (0.5, 1.0)
    assert people["age"][0] == pytest.approx(2 / 3) and people["beard"][1] < 0.5
    assert understand("happy middle-aged women").people["age"] == pytest.approx(
        (1 / 3, 2 / 3), abs=1e-5
    )


@pytest.mark.parametrize("emotion", [name for name in EMOTIONS if name != "contempt"])
def test_emotions_show_one_of_their_variants(emotion: str) -> None:
    rng = np.random.default_rng(0)
    shown = {tuple(sorted(understand(f"marked {emotion}").draw(rng).aus)) for _ in range(200)}
    assert shown == {tuple(sorted(variant)) for variant in variants(emotion, AUS)}
    for _ in range(20):
        levels = understand(f"marked {emotion}").draw(rng).aus.values()
        assert all(C[0] <= level <= C[1] for level in levels)


def test_a_stated_au_counts_more_than_an_emotion() -> None:
    prompt = understand("severe happiness with a slight smile, no raised cheeks")
    request = prompt.draw(np.random.default_rng(0))
    assert letter_of(request.aus["AU12"]) == "B" and request.aus["AU06"] == 0


def test_synonyms_name_emotions() -> None:
    assert set(SYNONYMS.values()) <= set(EMOTIONS) and not set(SYNONYMS) & set(EMOTIONS)


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        ("smirk", "'smirk' is not understood; did you mean 'smile'"),
        ("xyzzy lips", "'xyzzy' is not understood; known are emotions"),
        ("AU14", "AU14 is not one of AU01 inner brow raiser"),
        ("contempt", "'contempt' needs AU14, which cannot be shown"),
        ("AU12C, no AU12", "AU12 is asked for twice, in different ways"),
        ("young old men", "'old' contradicts another word about age"),
        ("men and women", "'women' contradicts another word about male"),
        ("no disgust", "'no disgust': name the muscles"),
        ("no men", "'no men': say who"),
        ("no marked smile", "'no' and 'marked' do not go together"),
        ("marked men", "'marked' says how strong, but 'men' is not a muscle"),
        ("a smile, marked", "nothing follows 'marked'"),
        ("no", "nothing follows 'no'"),
        ("the face of a person", "asks for nothing"),
        ("AU12=1.4", "1.4 is not an intensity from 0 to 1"),
        ("absent", "'absent' follows no AU"),
    ],
)
def test_what_is_not_understood_is_named(prompt: str, problem: str) -> None:
    with pytest.raises(FacsimileError) as error:
        understand(prompt)
    assert problem in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith(f"prompt {prompt!r}: ")


def test_emotions_do_without_aus_that_a_dataset_lacks() -> None:
    known = [au for au in AUS if au != "AU05"]
    assert variants("surprise", known) == [("AU01", "AU02", "AU26"), ("AU01", "AU02")]
    with pytest.raises(FacsimileError, match="AU05 is not one of"):
        understand("wide eyes", known)


@pytest.mark.parametrize("held_out", [False, True])
def test_descriptions_are_understood_as_they_were_meant(held_out: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(400):
        active = [au for au in AUS if rng.random() < 0.3]
        levels = {au: float(rng.uniform(0.1, 1)) for au in active}
        people = {
            name: (value, value)
            for name in NUISANCES
            if rng.random() < 0.5
            for value in [float(rng.choice([0.1, 0.5, 0.9]) if name == "age" else rng.integers(2))]
        }
        sentence = describe(Request(levels, people), rng, held_out=held_out)
        prompt = understand(sentence)
        read = {au: level for au, level in prompt.draw(rng).aus.items() if level > 0}
        letters = {au: letter_of(level) for au, level in levels.items()}
        assert {au: letter_of(level) for au, level in read.items()} == letters, sentence
        assert set(prompt.people) == set(people), sentence
        for name, (value, _) in people.items():
            low, high = prompt.people[name]
            assert low <= value <= high, sentence


def test_held_out_wording_is_never_used_otherwise() -> None:
    rng = np.random.default_rng(0)
    request = Request({"AU12": 0.6}, {})
    learnt, new = (
        {describe(request, rng, held_out=held_out) for _ in range(500)} for held_out in (0, 1)
    )
    assert not learnt & new and len(learnt) > 50


def test_no_phrase_belongs_to_two_aus() -> None:
    assert set(PHRASES) == set(AUS)
    owner: dict[str, str] = {}
    for au, kinds in PHRASES.items():
        for phrase in (AU_NAMES[au], *kinds.nouns, *kinds.states, *kinds.absent):
            assert owner.setdefault(phrase, au) == au


@pytest.mark.parametrize("letter", LETTERS)
def test_letters_are_ranges_of_intensity(letter: str) -> None:
    low, high = level_range(letter)
    assert letter_of(low) == letter_of(high) == letter_of((low + high) / 2) == letter
