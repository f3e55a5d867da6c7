"""Edits of the benchmark, and what is read from them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import torch

from facsimile.editing.base import Change, Editor, SourceFaces
from facsimile.faces.annotation import keep_readings
from facsimile.faces.aus import AUS
from facsimile.faces.tables import to_tensor, to_uint8
from facsimile.generator import Codes, Generator
from facsimile.measurement.metrics import cosine_distance
from facsimile.paper.edit_fidelity import score_pairs
from facsimile.paper.edit_trials import FaceReader

Advance = Callable[[int], None]

READINGS = tuple(f"read_{au}" for au in AUS)
LABELS = tuple(f"label_{au}" for au in AUS)


@dataclass(frozen=True)
class Pictures:
    """N faces: pictures and codes.

    Attributes:
        images: uint8 (N, H, W, 3).
        codes: their codes with x_T, on the CPU.
        aus: AU labels (N, 12), NaN = unknown.
        readings: AU readings (N, 12).
        identity: identity embeddings (N, E).
    """

    images: np.ndarray
    codes: Codes
    aus: np.ndarray
    readings: np.ndarray
    identity: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: np.ndarray) -> "Pictures":
        return Pictures(
            self.images[rows],
            self.codes[rows],
            self.aus[rows],
            self.readings[rows],
            self.identity[rows],
        )

    def faces(self, device: torch.device) -> SourceFaces:
        """The faces, for an editor."""
        return SourceFaces(self.codes.to(device), to_tensor(self.images, device))


@dataclass(frozen=True)
class BenchmarkFaces:
    """What all editors are measured on.

    Attributes:
        pairs: one row per pair with pair_id, subject_id and n_aus.
        sources: neutral face of each pair.
        targets: the same person with the AUs to reach.
        models: another person, to copy the expression from.
        singles: neutral faces whose AUs are edited one at a time.
        strengths: strengths of these edits; 1 is one of them.
    """

    pairs: pd.DataFrame
    sources: Pictures
    targets: Pictures
    models: Pictures
    singles: Pictures
    strengths: tuple[float, ...]


@dataclass(frozen=True)
class EditorBench:
    """Measures editors.

    Attributes:
        generator: generator of the codes.
        reader: reads AUs, identity and nuisances.
        batch_size: faces per batch.
    """

    generator: Generator
    reader: FaceReader
    batch_size: int

    def prepare(self, images: np.ndarray, aus: np.ndarray, advance: Advance) -> Pictures:
        """Invert and read uint8 images (N, H, W, 3) with AU labels (N, 12)."""
        parts: list[Codes] = []
        for start in range(0, len(images), self.batch_size):
            batch = to_tensor(images[start : start + self.batch_size])
            parts.append(self.generator.invert(batch, self.generator.encode(batch)).to("cpu"))
            advance(len(batch))
        return Pictures(images, Codes.concatenate(parts), aus, *self.reader.read(images))

    def edit(
        self,
        editor: Editor,
        faces: Pictures,
        target: np.ndarray,
        models: Pictures | None = None,
        advance: Advance = lambda count: None,
    ) -> np.ndarray:
        """Edited pictures, uint8 (N, H, W, 3).

        Args:
            editor: the editor.
            faces: N faces. Their unknown AUs count as absent.
            target: AUs to reach (N, 12); NaN leaves an AU as it is.
            models: N faces to copy the expression from, if the editor takes references.
            advance: called with the number of faces after each batch.
        """
        levels = torch.from_numpy(keep_readings(target, editor.aus).astype(np.float32))
        source = torch.from_numpy(np.nan_to_num(faces.aus).astype(np.float32))
        device = self.generator.device
        takes_models = models is not None and "reference" in editor.takes
        parts = []
        for rows in np.array_split(np.arange(len(faces)), -(-len(faces) // self.batch_size)):
            references = models[rows].faces(device) if takes_models else None
            change = Change(source[rows].to(device), levels[rows].to(device), references)
            edited = editor.edit(faces[rows].faces(device), change, self.generator)
            parts.append(to_uint8(edited.images))
            advance(len(rows))
        return np.concatenate(parts)

    def measure(
        self, editor: Editor, faces: BenchmarkFaces, advance: Advance
    ) -> tuple[dict[str, pd.DataFrame], np.ndarray]:
        """All measurements of one editor.

        Returns:
            Tables: ``pairs``, one row per pair: see `compare`, with ``seconds`` per face;
            ``neutral``, ``zero``: the same for the removal of all AUs from the targets, and for
            edits without a change; ``copied``: expressions of other people, compared with those;
            ``singles``: one row per edit of one AU with edited_au, s and the change of each of
            ``READ``. And the edited pictures of the pairs.
        """
        begin = time.perf_counter()
        edited = self.edit(editor, faces.sources, faces.targets.aus, advance=advance)
        seconds = (time.perf_counter() - begin) / len(edited)
        nothing = np.zeros_like(faces.targets.aus)
        neutral = self.edit(editor, faces.targets, nothing, advance=advance)
        zero = self.edit(editor, faces.sources, nothing, advance=advance)
        wanted = faces.models.readings.clip(0, 1)
        copied = self.edit(editor, faces.sources, wanted, faces.models, advance)
        pairs = self.compare(edited, faces.targets, faces.sources).assign(seconds=seconds)
        tables = {
            "pairs": pairs,
            "neutral": self.compare(neutral, faces.sources, faces.targets),
            "zero": self.compare(zero, faces.sources, faces.sources),
            "copied": self.compare(copied, faces.models, faces.sources),
            "singles": self.edit_singles(editor, faces, advance),
        }
        for name in ("pairs", "neutral", "zero", "copied"):
            tables[name] = pd.concat([faces.pairs, tables[name]], axis=1)
        return tables, edited

    def compare(self, images: np.ndarray, targets: Pictures, sources: Pictures) -> pd.DataFrame:
        """Compare pictures with targets.

        Returns:
            One row per picture: the columns of `score_pairs`; ``l1``, mean absolute difference of
            pixels in [-1, 1]; ``expression_distance``, distance of the AU readings to those of the
            target; ``content_distance``, distance of the identity embeddings to those of the
            source; ``drift_from_source``, their cosine distance; readings and labels of all AUs.
        """
        read, identity = self.reader.read(images)
        scores = score_pairs(
            read, targets.readings, targets.aus, identity, targets.identity, images, targets.images
        )
        return scores.assign(
            l1=np.abs(images.astype(float) - targets.images).mean(axis=(1, 2, 3)) / 127.5,
            expression_distance=np.linalg.norm(np.nan_to_num(read - targets.readings), axis=1),
            content_distance=np.linalg.norm(identity - sources.identity, axis=1),
            drift_from_source=cosine_distance(identity, sources.identity),
            **dict(zip(READINGS, read.T, strict=True)),
            **dict(zip(LABELS, targets.aus.T, strict=True)),
        )

    def edit_singles(self, editor: Editor, faces: BenchmarkFaces, advance: Advance) -> pd.DataFrame:
        """Changes of ``READ`` by edits of one AU at each strength."""
        plan = pd.DataFrame(
            product(faces.strengths, editor.aus, range(len(faces.singles))),
            columns=["s", "edited_au", "face"],
        )
        rows = plan["face"].to_numpy(copy=True)
        target = np.zeros((len(plan), len(AUS)))
        target[np.arange(len(plan)), [AUS.index(au) for au in plan["edited_au"]]] = plan["s"]
        images = self.edit(editor, faces.singles[rows], target, advance=advance)
        before = self.reader.read_all(faces.singles.images).iloc[rows].reset_index(drop=True)
        change = self.reader.read_all(images) - before
        return change.assign(edited_au=plan["edited_au"], s=plan["s"])

    def edits(self, editor: Editor, faces: BenchmarkFaces) -> int:
        """Number of edits that `measure` makes."""
        singles = len(faces.strengths) * len(editor.aus) * len(faces.singles)
        return 4 * len(faces.pairs) + singles

    def embeddings(self, images: np.ndarray) -> np.ndarray:
        """Features (N, E) for the Fréchet distance."""
        return self.reader.read(images)[1]
