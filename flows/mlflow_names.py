"""Escape arbitrary names of metrics, params and tags into names that MLflow accepts.

MLflow accepts letters, digits and ``_ - . space : /``, and only names that are normalised as paths.
Any other character is written between colons, by name or by code point: ``real+generated`` becomes
``real:plus:generated``.
"""

import hashlib
import posixpath
import re

_WORDS = {
    "+": "plus",
    ":": "colon",
    "/": "slash",
    ".": "dot",
    "*": "star",
    "=": "equals",
    ",": "comma",
    "@": "at",
    "#": "hash",
    "%": "percent",
    "?": "question",
    "&": "and",
    "": "empty",
}
_CHARACTERS = {word: character for character, word in _WORDS.items()}
_REFUSED = re.compile(r"[^\w\-. /]")
_ESCAPED = re.compile(rf":({'|'.join(_CHARACTERS)}|x[0-9a-f]+):")
_LONGEST = 250


def encode(name: str) -> str:
    """Escape a name. Different names stay different.

    `decode` restores the name, unless it was too long for MLflow and had to be truncated.
    """
    text = _REFUSED.sub(lambda match: _escaped(match[0]), name)
    if posixpath.normpath(text) != text or text.startswith(("/", "..")):
        text = text.replace("/", _escaped("/"))
    if text in ("", ".") or text.startswith(".."):
        text = _escaped(text[:1]) + text[1:]
    if len(text) <= _LONGEST:
        return text
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{text[: _LONGEST - len(digest) - 1]} {digest}"


def decode(text: str) -> str:
    """Undo `encode`."""
    return _ESCAPED.sub(_unescaped, text)


def _escaped(character: str) -> str:
    return f":{_WORDS.get(character) or f'x{ord(character):x}'}:"


def _unescaped(match: re.Match[str]) -> str:
    word = match[1]
    return chr(int(word[1:], 16)) if word.startswith("x") else _CHARACTERS[word]
