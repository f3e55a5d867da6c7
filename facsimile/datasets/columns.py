"""Which columns of a table are read, by our names, those of OpenFace or those of py-feat.

OpenFace 2 writes ``AU01_r``, intensities from 0 to 5, ``AU01_c``, whether the AU is there, and
``success`` of the tracking; py-feat writes ``AU01`` in [0, 1], ``input``, the picture, and
``FaceScore``, blank where it found no face.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from facsimile.datasets.adapter import ANNOTATIONS
from facsimile.datasets.alignment import LANDMARKS
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES

LINEAGE = (
    "origin",
    "source_id",
    "edited_au",
    "intensity",
    "editor",
    "editor_md5",
    "generator_md5",
    "seed",
)
"""What a generated face of ours says of itself; read where ``origin`` is one of ours."""

NUMBERS = (*AUS, *NUISANCES, *LANDMARKS, "intensity")
"""Columns that hold numbers."""

FOUND = "face_found"
"""Column of annotations that `find_columns` takes from a tracker: 0 or blank where it failed."""

OPENFACE_INTENSITY, OPENFACE_PRESENCE = "{}_r", "{}_c"

_LISTED = 12
"""Names of columns that a message lists."""

_AU_LIKE = re.compile(r"(?<![a-z])(?:au|action[\W_]*unit)[\W_]*0*(\d{1,2})(?!\d)", re.IGNORECASE)


def _spelling(name: str) -> str:
    """Case, separators and leading zeros apart: AU1 is AU01, Subject-ID is subject_id."""
    plain = re.sub(r"[\W_]", "", name).lower()
    return re.sub(r"^au0*(?=\d)", "au", plain)


_OURS = frozenset(map(_spelling, ("image_path", "input", *ANNOTATIONS, *LANDMARKS)))


@dataclass(frozen=True)
class Columns:
    """Columns of one table that are read.

    Attributes:
        taken: our name → name in the file.
        openface: AUs that are intensities of OpenFace, from 0 to 5.
        presence: AUs of which OpenFace says no more than whether they are there.
    """

    taken: dict[str, str]
    openface: frozenset[str] = field(default_factory=frozenset)
    presence: frozenset[str] = field(default_factory=frozenset)


def find_columns(
    present: Sequence[str], required: Sequence[str], file: Path, others: Sequence[str] = ()
) -> Columns:
    """Find what is read; refuse what would be lost by a slip of spelling.

    Args:
        present: columns of the table.
        required: columns that it must have.
        file: named in errors.
        others: columns that are not to be read here.

    Raises:
        FacsimileError: a missing or doubled column, one whose name is one of ours but for its
            spelling, or one that looks like an AU that is not read from any other column.
    """
    original = {name.strip(): name for name in present if name.strip()}
    named = [name.strip() for name in present if name.strip()]
    wanted = {*required, *ANNOTATIONS, *LANDMARKS, *LINEAGE}.difference(others)
    meant = {_spelling(name): name for name in wanted - set(LINEAGE)}
    for position, name in enumerate(named):
        if name in named[:position]:
            raise FacsimileError(f"{file}: column {name} is there twice")
        if name not in (*wanted, *others) and _spelling(name) in meant:
            raise FacsimileError(f"{file}: column {name} must be called {meant[_spelling(name)]}")
    taken = {name: name for name in named if name in wanted}
    if "image_path" in required and "input" in original:
        taken.setdefault("image_path", "input")
    openface, presence = set(), set()
    for au in AUS:
        for pattern, kind in ((OPENFACE_INTENSITY, openface), (OPENFACE_PRESENCE, presence)):
            if au not in taken and (name := pattern.format(au)) in original:
                taken[au] = name
                kind.add(au)
    trackers = ("success", "confidence") if openface | presence else ("FaceScore",)
    if tracked := next((name for name in trackers if name in original), None):
        taken[FOUND] = tracked
    for name in required:
        if name not in taken and name not in named:
            raise FacsimileError(f"{file}: missing column {name}, found {_listed(named)}")
    unread = [name for name in named if name not in (*taken.values(), *others)]
    _refuse_lost_aus(unread, taken, file)
    if unread:
        unread.sort(key=lambda name: not _AU_LIKE.search(name))
        warnings.warn(f"{file}: columns not read: {_listed(unread)}", stacklevel=2)
    taken = {name: original[source] for name, source in taken.items()}
    return Columns(taken, frozenset(openface), frozenset(presence))


def spelt_like_ours(name: str) -> bool:
    """Whether `name` is a column that `find_columns` reads, or refuses for its spelling."""
    return _spelling(name) in _OURS or bool(_AU_LIKE.search(name))


def _refuse_lost_aus(unread: Sequence[str], taken: dict[str, str], file: Path) -> None:
    """Raise FacsimileError for columns that look like AUs of ours which are not read."""
    lost = {}
    for name in unread:
        match = _AU_LIKE.search(name)
        au = match and f"AU{int(match[1]):02d}"
        if au in AUS and au not in taken:
            lost[name] = au
    if lost:
        first = next(iter(lost.values()))
        expected = _listed(list(dict.fromkeys(lost.values())))
        raise FacsimileError(
            f"{file}: column {_listed(list(lost))} would not be read as an Action Unit: call it "
            f"{expected}, or {OPENFACE_INTENSITY.format(first)} (0–5) and "
            f"{OPENFACE_PRESENCE.format(first)} (presence) as OpenFace does; or remove it"
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"
