"""The language of prompts and descriptions: no networks, only words."""

from facsimile.language.emotions import EMOTIONS
from facsimile.language.grammar import Expander, describe
from facsimile.language.prompts import Prompt, understand
from facsimile.language.requests import Range, Request
from facsimile.language.words import ASKED, WORDS_SCHEMA

__all__ = [
    "ASKED",
    "EMOTIONS",
    "WORDS_SCHEMA",
    "Expander",
    "Prompt",
    "Range",
    "Request",
    "describe",
    "understand",
]
