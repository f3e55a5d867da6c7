"""What all adapters share: annotations first, checked as a whole; then images, batch by batch.

An adapter knows one layout of files. It reads annotations only, a few bytes a face; nothing is
decoded before all of them are known to be sound.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from facsimile.datasets.alignment import LANDMARKS, Aligner
from facsimile.datasets.paths import composed, is_file, no_file_hint
from facsimile.datasets.pictures import (
    UniformError,
    decode_rgb,
    decode_square,
    refuse_uniform,
)
from facsimile.datasets.rejects import Rejects
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.origins import REAL
from facsimile.faces.schema import Finding, find_violations, one_line
from facsimile.faces.tables import FACE_SCHEMA, conform, image_structs
from facsimile.seeding import sample_seed

ANNOTATIONS = ("sample_id", "subject_id", "split", *AUS, "au_presence_only", *NUISANCES)
"""Columns of ``FACE_SCHEMA`` that are read where a dataset has them."""

SPLIT_SHARES = {"val": 0.15, "test": 0.25}
"""Shares of subjects where a dataset has no split of its own; the others are ``train``."""

TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
"""Text, in small letters → what it says."""

ImageSource = Path | bytes | Image.Image | FacsimileError | None

THUMBNAIL = 32
"""Side of the grey versions by which `Intake.thin` tells faces apart, pixels."""


@dataclass(frozen=True)
class Fold:
    """One of `count` parts of the people, the `index`-th from 0, is the test set."""

    count: int
    index: int


@dataclass(frozen=True)
class Intake:
    """What becomes of the images of a dataset.

    Attributes:
        size: side to which faces are resized, pixels.
        crop: take the largest centred square of what is not square, which is else rejected.
        thin: leave out a face that follows one of the same person and labels and differs from it,
            in small and grey, by a mean absolute difference in [0, 1] below this.
        aligner: of faces that are not square and aligned yet.
    """

    size: int
    crop: bool = False
    thin: float = 0.0
    aligner: Aligner | None = None


def image_files(
    annotations: pd.DataFrame, batch_size: int
) -> Iterator[tuple[pd.DataFrame, list[ImageSource]]]:
    """Batches of annotations with the file that ``image_path`` names, relative to their own."""
    for start in range(0, len(annotations), batch_size):
        rows = annotations.iloc[start : start + batch_size]
        yield rows, [image_file(row) for row in rows.itertuples()]


def image_file(row: tuple) -> Path:
    """Image or video of a row of annotations that has an ``image_path``."""
    return Path(row.file).parent / row.image_path


@dataclass(frozen=True)
class Adapter:
    """How one layout of files is read.

    Attributes:
        recognises: path → whether it has this layout.
        annotate: path, dataset, rejects → one row a face: ``sample_id``, ``subject_id``, whichever
            others of ``ANNOTATIONS`` there are, and ``file`` and ``line`` where they stand (see
            `Violation`); for `image_files` also ``image_path``, and any ``LANDMARKS``. Numbers may
            be text yet. What cannot be read goes to rejects.
        images: annotations, batch size → batches of them with their images: a file, its bytes, a
            picture, or why there is none.
        image_column: column that errors of images name.
        options: keyword arguments that `annotate` takes besides.
        whole: column of annotations whose equal values, one after another, are read at once.
    """

    recognises: Callable[[Path], bool]
    annotate: Callable[..., pd.DataFrame]
    images: Callable[[pd.DataFrame, int], Iterator[tuple[pd.DataFrame, list[ImageSource]]]]
    image_column: str
    whole: str = "subject_id"
    options: tuple[str, ...] = ()

    def open(
        self,
        path: Path,
        dataset: str,
        seed: int,
        rejects: Rejects,
        fold: Fold | None = None,
        known: Mapping[str, str] = MappingProxyType({}),
        landmarks: bool = False,
        options: Mapping[str, object] = MappingProxyType({}),
    ) -> pd.DataFrame:
        """Check a dataset without decoding an image.

        Args:
            path: file or folder.
            dataset: name given to the faces.
            seed: of the split, if the dataset has none.
            rejects: receives what is wrong with single faces.
            fold: see `draw_splits`.
            known: see `draw_splits`.
            landmarks: whether faces must have ``LANDMARKS``.
            options: some of the attribute of this name.

        Returns:
            Sound annotations (see `annotate`) with all that ``FACE_SCHEMA`` needs but the image;
            their origin is real where it is not said.

        Raises:
            FacsimileError: what `rejects` raises, what is wrong with the dataset as a whole, or no
                face left.
        """
        if unknown := sorted(options.keys() - set(self.options)):
            raise FacsimileError(f"{path}: such files are read without {unknown[0]}")
        annotations = self.annotate(path, dataset, rejects, **options)
        if landmarks and (missing := [name for name in LANDMARKS if name not in annotations]):
            raise FacsimileError(f"{path}: missing column {', '.join(missing)}, needed to align")
        annotations = check(annotations, rejects, LANDMARKS if landmarks else ())
        any_left(len(annotations), path, rejects)
        if "split" not in annotations:
            annotations["split"] = draw_splits(
                annotations["subject_id"], seed, str(path), fold, known
            )
        if "origin" not in annotations:
            annotations["origin"] = REAL
        return annotations.assign(dataset=dataset)

    def faces(
        self,
        annotations: pd.DataFrame,
        intake: Intake,
        rejects: Rejects,
        workers: int = 1,
        batch_size: int = 256,
    ) -> Iterator[pa.Table]:
        """Decode the images of annotations, in their order.

        Args:
            annotations: rows of what `open` gives.
            intake: see there.
            rejects: receives images that cannot be taken; those of one colour are tolerated.
            workers: threads that decode images.
            batch_size: most rows of a table; no more images than that are held at once.

        Returns:
            Tables in ``FACE_SCHEMA`` of the faces that are neither rejected nor left out.
        """

        def decode(source: ImageSource, points: np.ndarray) -> np.ndarray | FacsimileError:
            if isinstance(source, FacsimileError):
                return source
            try:
                if intake.aligner is None:
                    return decode_square(source, intake.size, intake.crop)
                face = intake.aligner(decode_rgb(source), points.reshape(-1, 2), intake.size)
                refuse_uniform(Image.fromarray(face))
                return face
            except FacsimileError as error:
                return error

        differs = _Thinning(intake.thin)
        with ThreadPoolExecutor(workers) as pool:
            for rows, sources in self.images(annotations, batch_size):
                given = [name for name in LANDMARKS if name in rows]
                images = list(pool.map(decode, sources, rows[given].to_numpy()))
                found = [
                    Finding(
                        row,
                        self.image_column,
                        _name(rows, row),
                        str(image),
                        isinstance(image, UniformError),
                    )
                    for row, image in enumerate(images)
                    if isinstance(image, FacsimileError)
                ]
                rows = rejects.drop(rows, found)
                kept = [image for image in images if not isinstance(image, FacsimileError)]
                if intake.thin:
                    pairs = zip(rows.itertuples(), kept, strict=True)
                    new = [differs(row, image) for row, image in pairs]
                    rows = rows[new].reset_index(drop=True)
                    kept = [image for image, is_new in zip(kept, new, strict=True) if is_new]
                if kept:
                    rows["image"] = image_structs(np.stack(kept), rows["sample_id"])
                    yield conform(rows, FACE_SCHEMA)


class _Thinning:
    """Whether a face differs from the last one that did."""

    def __init__(self, least: float) -> None:
        self.least = least
        self.last: tuple | None = None
        self.grey = np.empty(0)

    def __call__(self, row: tuple, image: np.ndarray) -> bool:
        labels = (getattr(row, name, None) for name in ("subject_id", *AUS, *NUISANCES))
        # NaN, not annotated, would differ from itself.
        now = tuple(None if value != value else value for value in labels)
        small = Image.fromarray(image).convert("L").resize((THUMBNAIL, THUMBNAIL), Image.BOX)
        grey = np.asarray(small, np.float32) / 255
        if now == self.last and np.abs(grey - self.grey).mean() < self.least:
            return False
        self.last, self.grey = now, grey
        return True


def _name(rows: pd.DataFrame, row: int) -> str:
    if "image_path" not in rows or pd.isna(rows["image_path"].iat[row]):
        return "image"
    frame = f" frame {rows['frame'].iat[row]}" if "frame" in rows else ""
    return f"{rows['image_path'].iat[row]}{frame}"


def any_left(faces: int, path: Path, rejects: Rejects) -> None:
    """Raise FacsimileError if no face of a dataset is left, with the reason of the first."""
    if not faces:
        why = f": all were rejected, {one_line(rejects.found)}" if len(rejects) else ""
        raise FacsimileError(f"{path}: no faces{why}")


def check(annotations: pd.DataFrame, rejects: Rejects, needed: Sequence[str] = ()) -> pd.DataFrame:
    """Annotations with numbers as numbers, without what is wrong against the face schema.

    Args:
        annotations: see `Adapter.annotate`.
        rejects: receives what is wrong: text for a number, none where one is `needed`, an image
            that is not there, and all that `find_violations` finds.
        needed: further columns of numbers.
    """
    for name in ("sample_id", "subject_id"):
        annotations[name] = [
            composed(value) if isinstance(value, str) else value for value in annotations[name]
        ]
    numeric = [name for name in (*AUS, *NUISANCES) if name in annotations] + list(needed)
    numbers = annotations[numeric].apply(pd.to_numeric, errors="coerce").astype(float)
    found = [
        Finding(row, name, str(annotations[name].iat[row]), "not a number")
        for name in numeric
        for row in np.flatnonzero(numbers[name].isna() & annotations[name].notna())
    ]
    missing = annotations[list(needed)].isna()
    found += [
        Finding(row, missing.columns[missing.iloc[row].argmax()], None, "is missing: no landmark")
        for row in np.flatnonzero(missing.any(axis=1))
    ]
    annotations = annotations.assign(**numbers)
    if "au_presence_only" in annotations:
        given = annotations["au_presence_only"].astype(str)
        presence = given.str.lower().map(TRUTH)
        found += [
            Finding(row, "au_presence_only", given.iat[row], "not true or false")
            for row in np.flatnonzero(presence.isna())
        ]
        annotations["au_presence_only"] = presence.fillna(False).astype(bool)
    else:
        annotations["au_presence_only"] = False
    if "image_path" in annotations:
        found += [
            Finding(position, "image_path", row.image_path, f"is no file{_hint(row)}")
            for position, row in enumerate(annotations.itertuples())
            if isinstance(row.image_path, str) and not is_file(image_file(row))
        ]
    checked = (*ANNOTATIONS, "origin", "edited_au", "intensity")
    found += find_violations(annotations[[name for name in checked if name in annotations]])
    return rejects.drop(annotations, sorted(found, key=lambda finding: finding.row))


def _hint(row: tuple) -> str:
    return no_file_hint(image_file(row), row.image_path)


def draw_splits(
    subjects: pd.Series,
    seed: int,
    source: str,
    fold: Fold | None = None,
    known: Mapping[str, str] = MappingProxyType({}),
) -> pd.Series:
    """A subject-exclusive split in ``SPLIT_SHARES``, at least one subject each.

    Subjects are ranked by a hash of seed and subject_id: their order and the number of their faces
    do not matter. Folds of one count share no subject of their test sets and cover all.

    Args:
        subjects: subject_id of each face.
        seed: of the stage.
        source: file name for the error.
        fold: the test set instead of a share.
        known: subject_id → split of those in other datasets, who keep it: a person in DISFA and
            DISFA+ must not be trained on in one and tested on in the other.

    Raises:
        FacsimileError: no subject left for a split, unless some are known.
    """
    people = set(subjects)
    ranked = sorted(people - known.keys(), key=lambda subject: sample_seed(seed, subject))
    vals = max(1, round(SPLIT_SHARES["val"] * len(ranked)))
    if fold:
        test = ranked[fold.index :: fold.count]
        others = [subject for subject in ranked if subject not in test]
        val = others[:vals]
    else:
        val = ranked[:vals]
        test = ranked[vals:][: max(1, round(SPLIT_SHARES["test"] * len(ranked)))]
    if people.isdisjoint(known) and not (test and len(ranked) > len(val) + len(test)):
        where = f" by fold {fold.index} of {fold.count}" if fold else ""
        raise FacsimileError(
            f"{source}: {len(people)} subjects ({', '.join(sorted(people))}) cannot be split into "
            f"train, val and test{where}; give a column split"
        )
    drawn = dict.fromkeys(val, "val") | dict.fromkeys(test, "test")
    return subjects.map(lambda subject: known.get(subject) or drawn.get(subject, "train"))
