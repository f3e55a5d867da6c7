"""Faces that are opened in the studio, and their edits."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from facsimile.editing import Editor
from facsimile.editing.pictures import (
    AUReader,
    OpenedFaces,
    apply_change,
    copy_expression,
    open_faces,
    set_levels,
    target_levels,
)
from facsimile.errors import FacsimileError
from facsimile.generator import Generator
from facsimile.studio.recipe import Origin

LEVELS = (-0.5, 1.5)
"""Range of AU levels; beyond [0, 1], editors extrapolate as far as they do."""

_OPENED = 32  # faces whose codes are kept
_ADDED = 200  # uploaded and sampled faces that are kept; the oldest ones are forgotten

Embedding = Callable[[np.ndarray], np.ndarray]
"""uint8 images (N, H, W, 3) → unit-length embeddings of identity (N, E)."""


@dataclass(frozen=True)
class StudioFace:
    """A face to edit, or to copy an expression from.

    Attributes:
        image: aligned, uint8 (H, W, 3).
        title: what it is called on the page.
        kind: group of faces it is shown in.
        origin: where it comes from.
    """

    image: np.ndarray
    title: str
    kind: str
    origin: Origin


@dataclass(frozen=True)
class StudioEdit:
    """An edited picture.

    Attributes:
        image: uint8 (H, W, 3).
        aus: AUs (12,) that were read from it, unclipped; None for a preview.
        drift: cosine distance between the identities of original and edit; None for a preview, or
            without a face recogniser.
    """

    image: np.ndarray
    aus: np.ndarray | None
    drift: float | None


class StudioSession:
    """All faces of one studio. Not thread-safe.

    Args:
        generator: decodes with its usual steps.
        preview: the same generator with fewer steps, for a first impression.
        reader: reads AUs.
        load: name of a fitted editor → editor; called once for each.
        embed: embeddings of identity; None without a face recogniser.
        faces: faces to begin with.
    """

    def __init__(
        self,
        generator: Generator,
        preview: Generator,
        reader: AUReader,
        load: Callable[[str], Editor],
        embed: Embedding | None = None,
        faces: Sequence[StudioFace] = (),
    ) -> None:
        self.generator = generator
        self._preview = preview
        self._reader = reader
        self._embed = embed
        self._load = cache(load)
        self._gallery = {f"g{number}": face for number, face in enumerate(faces)}
        self._added: OrderedDict[str, StudioFace] = OrderedDict()
        self._count = 0
        self._opened: OrderedDict[str, OpenedFaces] = OrderedDict()

    @property
    def faces(self) -> Mapping[str, StudioFace]:
        """Key → face, of all faces."""
        return self._gallery | self._added

    def add(self, face: StudioFace) -> str:
        """Add a face, and return its key."""
        key = f"a{self._count}"
        self._count += 1
        self._added[key] = face
        if len(self._added) > _ADDED:
            forgotten, _ = self._added.popitem(last=False)
            self._opened.pop(forgotten, None)
        return key

    def face(self, key: str) -> StudioFace:
        """A face. Raises FacsimileError if there is no such face."""
        face = self._gallery.get(key) or self._added.get(key)
        if face is None:
            raise FacsimileError("this face is no longer in memory; add it again")
        return face

    def editor(self, method: str) -> Editor:
        """A fitted editor for this generator. Raises FacsimileError if there is none."""
        editor = self._load(method)
        editor.check(self.generator)
        return editor

    def open(self, key: str) -> OpenedFaces:
        """A face with its AU readings and codes. Raises like `face`."""
        face = self.face(key)
        if key not in self._opened:
            self._opened[key] = open_faces(face.image[None], self.generator, self._reader)
            if len(self._opened) > _OPENED:
                self._opened.popitem(last=False)
        self._opened.move_to_end(key)
        return self._opened[key]

    def edit(
        self,
        key: str,
        levels: Mapping[str, float],
        method: str,
        *,
        reference: str | None = None,
        preview: bool = False,
    ) -> StudioEdit:
        """Edit a face.

        Args:
            key: of the face.
            levels: AU → intensity within ``LEVELS``; other AUs stay as they are.
            method: name of the editor.
            reference: key of a face whose expression is copied instead of `levels`.
            preview: decode with few steps, and read nothing.

        Raises:
            FacsimileError: there is no such face or editor, or the editor cannot change an AU, or
                not to such a level.
        """
        for au, level in levels.items():
            if not LEVELS[0] <= level <= LEVELS[1]:
                raise FacsimileError(f"{au}: {level:g} is not between {LEVELS[0]} and {LEVELS[1]}")
        editor, opened = self.editor(method), self.open(key)
        if reference is not None:
            change = copy_expression(opened, self.open(reference), editor)
        else:
            change = set_levels(opened, target_levels(levels, editor))
        generator = self._preview if preview else self.generator
        edited = apply_change(opened, change, editor, generator)
        aus = drift = None
        if not preview:
            aus = self._reader.predict(edited)[0]
            if self._embed is not None:
                before, after = self._embed(np.concatenate([opened.images, edited]))
                drift = float(1 - before @ after)
        return StudioEdit(edited[0], aus, drift)


def use_fastest_threads(work: Callable[[], object], seconds: Callable[[], float]) -> int:
    """Let torch use either all its threads or one, whichever is faster, and return their number.

    If other processes are busy, several threads wait for one another, and small networks can take
    many times as long as on one.

    Args:
        work: typical work, done twice with each number of threads.
        seconds: a clock.
    """
    times: dict[int, float] = {}
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        work()
        begin = seconds()
        work()
        times[threads] = seconds() - begin
    fastest = min(times, key=times.get)
    torch.set_num_threads(fastest)
    return fastest
