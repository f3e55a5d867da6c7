"""Base of all adapters: read and check all annotations first, then decode images in batches.

An adapter reads one file layout. Annotations take only a few bytes per face, so all of them are
checked before any image is decoded.
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
from facsimile.datasets.paths import is_file, missing_file_hint, to_nfc
from facsimile.datasets.rejects import Rejects
from facsimile.datasets.terms import Terms
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.decoding import (
    BlankImageError,
    check_not_blank,
    decode_rgb,
    decode_square,
)
from facsimile.faces.origins import REAL
from facsimile.faces.schema import Finding, find_violations, one_line
from facsimile.faces.tables import FACE_SCHEMA, conform, image_structs
from facsimile.seeding import sample_seed

ANNOTATIONS = ("sample_id", "subject_id", "split", *AUS, "au_presence_only", *NUISANCES)
"""Columns of ``FACE_SCHEMA`` that are read if the dataset has them."""

SPLIT_SHARES = {"val": 0.15, "test": 0.25}
"""Shares of subjects if a dataset defines no split; the rest is ``train``."""

BOOLEANS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
"""Lower-case text → truth value."""

ImageSource = Path | bytes | Image.Image | FacsimileError | None

THUMBNAIL = 32
"""Side of the greyscale thumbnails that `Preprocessing.thin` compares, pixels."""


@dataclass(frozen=True)
class SubjectFold:
    """A cross-validation fold: group `index` (from 0) of `count` groups of people is tested.

    Attributes:
        count, index: see above.
        groups: the groups; empty to draw them.
    """

    count: int
    index: int
    groups: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True)
class Preprocessing:
    """How the images of a dataset become faces.

    Attributes:
        size: side to which faces are resized, pixels.
        crop: crop images that are not square to the largest centred square; otherwise they are
            rejected.
        thin: threshold for near-duplicates: a face is dropped if the previous face has the same
            person and labels, and the mean absolute difference of their thumbnails, in [0, 1], is
            below it. 0 keeps all.
        aligner: aligns the faces; None if they are square and aligned already.
    """

    size: int
    crop: bool = False
    thin: float = 0.0
    aligner: Aligner | None = None

    def landmarks(self, rows: pd.DataFrame) -> np.ndarray:
        """``POINTS`` (N, 4, 2) of N annotations; (N, 0, 2) unless they have all of them."""
        given = list(LANDMARKS) if set(LANDMARKS) <= set(rows) else []
        return rows[given].to_numpy().reshape(len(rows), len(given) // 2, 2)

    def prepare(
        self, source: ImageSource, landmarks: np.ndarray | None = None
    ) -> np.ndarray | FacsimileError:
        """The face of one image.

        Args:
            source: an image, or an error that says why there is none.
            landmarks: given landmarks, see `Aligner`.

        Returns:
            uint8 (size, size, 3), or an error that says why there is no face; its message completes
            a sentence that begins with the name of the image.
        """
        if isinstance(source, FacsimileError):
            return source
        try:
            if self.aligner is None:
                return decode_square(source, self.size, self.crop)
            face = self.aligner(decode_rgb(source), landmarks, self.size)
            check_not_blank(Image.fromarray(face))
            return face
        except FacsimileError as error:
            return error


def image_files(
    annotations: pd.DataFrame, batch_size: int
) -> Iterator[tuple[pd.DataFrame, list[ImageSource]]]:
    """Batches of annotations with their image files; ``image_path`` is relative to ``file``."""
    for start in range(0, len(annotations), batch_size):
        rows = annotations.iloc[start : start + batch_size]
        yield rows, [image_file(row) for row in rows.itertuples()]


def image_file(row: tuple) -> Path:
    """Path of the image or video of a row of annotations that has an ``image_path``."""
    return Path(row.file).parent / row.image_path


@dataclass(frozen=True)
class Adapter:
    """Reads one file layout.

    Attributes:
        recognises: path → whether it has this layout.
        annotate: path, dataset, rejects → one row per face with ``sample_id``, ``subject_id``, any
            other ``ANNOTATIONS`` and ``LANDMARKS``, and ``file`` and ``line`` of its annotation
            (see `Violation`); for `image_files` also ``image_path``. Numbers may still be text.
            Unreadable rows go to rejects.
        images: annotations, batch size → batches of annotations with one image source per row: a
            file, its bytes, a decoded image, or an error that says why there is none.
        reads: the files it reads, in Markdown.
        labels: AUs and attributes of such a dataset, in Markdown.
        terms: terms of use of such a dataset.
        image_column: column named in errors about images.
        whole: column whose runs of equal values are never divided between two parts.
        options: further keyword arguments of `annotate`.
    """

    recognises: Callable[[Path], bool]
    annotate: Callable[..., pd.DataFrame]
    images: Callable[[pd.DataFrame, int], Iterator[tuple[pd.DataFrame, list[ImageSource]]]]
    reads: str
    labels: str
    terms: Terms
    image_column: str
    whole: str = "subject_id"
    options: tuple[str, ...] = ()

    def open(
        self,
        path: Path,
        dataset: str,
        seed: int,
        rejects: Rejects,
        fold: SubjectFold | None = None,
        known_splits: Mapping[str, str] = MappingProxyType({}),
        landmarks: bool = False,
        options: Mapping[str, object] = MappingProxyType({}),
    ) -> pd.DataFrame:
        """Read and check the annotations of a dataset without decoding images.

        Args:
            path: file or folder.
            dataset: name given to the dataset.
            seed: seed of the split, if the dataset defines none.
            rejects: receives violations of single faces.
            fold: see `draw_splits`.
            known_splits: see `draw_splits`.
            landmarks: whether faces must have ``LANDMARKS``.
            options: values for some of the adapter's `options`.

        Returns:
            Valid annotations (see `annotate`) with all columns that ``FACE_SCHEMA`` needs except
            the image; a missing origin is set to real.

        Raises:
            FacsimileError: raised by `rejects`, or the dataset as a whole is invalid, or no face is
                left.
        """
        if unknown := sorted(options.keys() - set(self.options)):
            raise FacsimileError(
                f"{path}: this file layout has no option {unknown[0]}; remove it from params.yaml"
            )
        annotations = self.annotate(path, dataset, rejects, **options)
        if landmarks and (missing := [name for name in LANDMARKS if name not in annotations]):
            raise FacsimileError(f"{path}: missing column {', '.join(missing)}, needed to align")
        annotations = check_annotations(annotations, rejects, LANDMARKS if landmarks else ())
        require_faces(len(annotations), path, rejects)
        if "split" not in annotations:
            annotations["split"] = draw_splits(
                annotations["subject_id"], seed, str(path), fold, known_splits
            )
        if "origin" not in annotations:
            annotations["origin"] = REAL
        return annotations.assign(dataset=dataset)

    def faces(
        self,
        annotations: pd.DataFrame,
        preprocessing: Preprocessing,
        rejects: Rejects,
        workers: int = 1,
        batch_size: int = 256,
    ) -> Iterator[pa.Table]:
        """Decode the images of annotations, in order.

        Args:
            annotations: rows returned by `open`.
            preprocessing: how to process the images.
            rejects: receives unusable images; blank images are tolerated.
            workers: threads that decode images.
            batch_size: maximum rows per table, and of images held in memory.

        Returns:
            Tables in ``FACE_SCHEMA`` of the faces that were neither rejected nor thinned out.
        """

        differs = _Thinning(preprocessing.thin)
        with ThreadPoolExecutor(workers) as pool:
            for rows, sources in self.images(annotations, batch_size):
                points = preprocessing.landmarks(rows)
                images = list(pool.map(preprocessing.prepare, sources, points))
                found = self.unusable(rows, images)
                rows = rejects.drop(rows, found)
                kept = [image for image in images if not isinstance(image, FacsimileError)]
                if preprocessing.thin:
                    pairs = zip(rows.itertuples(), kept, strict=True)
                    new = [differs(row, image) for row, image in pairs]
                    rows = rows[new].reset_index(drop=True)
                    kept = [image for image, is_new in zip(kept, new, strict=True) if is_new]
                if kept:
                    rows["image"] = image_structs(np.stack(kept), rows["sample_id"])
                    yield conform(rows, FACE_SCHEMA)

    def unusable(
        self, rows: pd.DataFrame, images: Sequence[object | FacsimileError]
    ) -> list[Finding]:
        """Findings about those of the images of some annotations that are errors."""
        return [
            Finding(
                row,
                self.image_column,
                _name(rows, row),
                str(image),
                isinstance(image, BlankImageError),
            )
            for row, image in enumerate(images)
            if isinstance(image, FacsimileError)
        ]


class _Thinning:
    """Whether a face differs from the last face that was kept, for `Preprocessing.thin`."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.last_labels: tuple | None = None
        self.last_thumbnail = np.empty(0)

    def __call__(self, row: tuple, image: np.ndarray) -> bool:
        values = (getattr(row, name, None) for name in ("subject_id", *AUS, *NUISANCES))
        # NaN (not annotated) would not compare equal to itself.
        labels = tuple(None if value != value else value for value in values)
        small = Image.fromarray(image).convert("L").resize((THUMBNAIL, THUMBNAIL), Image.BOX)
        thumbnail = np.asarray(small, np.float32) / 255
        if labels == self.last_labels:
            difference = np.abs(thumbnail - self.last_thumbnail).mean()
            if difference < self.threshold:
                return False
        self.last_labels, self.last_thumbnail = labels, thumbnail
        return True


def _name(rows: pd.DataFrame, row: int) -> str:
    if "image_path" not in rows or pd.isna(rows["image_path"].iat[row]):
        return "image"
    frame = f" frame {rows['frame'].iat[row]}" if "frame" in rows else ""
    return f"{rows['image_path'].iat[row]}{frame}"


def require_faces(faces: int, path: Path, rejects: Rejects) -> None:
    """Raise FacsimileError if a dataset has no faces, with the reason of the first reject."""
    if not faces:
        why = f": all were rejected, {one_line(rejects.found)}" if len(rejects) else ""
        raise FacsimileError(f"{path}: no faces{why}")


def check_annotations(
    annotations: pd.DataFrame, rejects: Rejects, needed: Sequence[str] = ()
) -> pd.DataFrame:
    """Convert numbers and booleans, and drop rows that violate the face schema.

    Args:
        annotations: see `Adapter.annotate`.
        rejects: receives the violations: text instead of a number, a missing `needed` value, a
            missing image file, and those of `find_violations`.
        needed: further numeric columns, in which no value may be missing.
    """
    for name in ("sample_id", "subject_id"):
        annotations[name] = [
            to_nfc(value) if isinstance(value, str) else value for value in annotations[name]
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
        presence = given.str.lower().map(BOOLEANS)
        found += [
            Finding(row, "au_presence_only", given.iat[row], "not true or false")
            for row in np.flatnonzero(presence.isna())
        ]
        annotations["au_presence_only"] = presence.fillna(False).astype(bool)
    else:
        annotations["au_presence_only"] = False
    if "image_path" in annotations:
        found += [
            Finding(position, "image_path", row.image_path, f"is not a file{_hint(row)}")
            for position, row in enumerate(annotations.itertuples())
            if isinstance(row.image_path, str) and not is_file(image_file(row))
        ]
    checked = (*ANNOTATIONS, "origin", "edited_au", "intensity")
    found += find_violations(annotations[[name for name in checked if name in annotations]])
    return rejects.drop(annotations, sorted(found, key=lambda finding: finding.row))


def _hint(row: tuple) -> str:
    return missing_file_hint(image_file(row), row.image_path)


def draw_splits(
    subjects: pd.Series,
    seed: int,
    source: str,
    fold: SubjectFold | None = None,
    known_splits: Mapping[str, str] = MappingProxyType({}),
) -> pd.Series:
    """Split faces by subject in ``SPLIT_SHARES``, with at least one subject per split.

    Subjects are ranked by a hash of seed and subject_id, so their order and number of faces do not
    matter. The test sets of all folds with the same count are disjoint and cover all subjects.

    Args:
        subjects: subject_id of each face.
        seed: seed of the stage.
        source: file name for the error message.
        fold: determines the test set instead of ``SPLIT_SHARES``.
        known_splits: subject_id → split in other datasets, which is kept: a person in both DISFA
            and DISFA+ must not be in train in one and in test in the other.

    Raises:
        FacsimileError: too few subjects for three splits, unless some are in `known_splits`; or a
            subject is in none of the groups of `fold`.
    """
    people = set(subjects)
    ranked = sorted(people - known_splits.keys(), key=lambda subject: sample_seed(seed, subject))
    vals = max(1, round(SPLIT_SHARES["val"] * len(ranked)))
    if fold:
        if fold.groups:
            if strangers := sorted(people - frozenset.union(*fold.groups)):
                raise FacsimileError(
                    f"{source}: {strangers[0]} is in none of the published groups; remove "
                    "published from ingest.fold, or leave this person out"
                )
            test = [subject for subject in ranked if subject in fold.groups[fold.index]]
        else:
            test = ranked[fold.index :: fold.count]
        others = [subject for subject in ranked if subject not in test]
        val = others[:vals]
    else:
        val = ranked[:vals]
        test = ranked[vals:][: max(1, round(SPLIT_SHARES["test"] * len(ranked)))]
    if people.isdisjoint(known_splits) and not (test and len(ranked) > len(val) + len(test)):
        where = f" by fold {fold.index} of {fold.count}" if fold else ""
        raise FacsimileError(
            f"{source}: {len(people)} subjects ({', '.join(sorted(people))}) cannot be split into "
            f"train, val and test{where}; give a column split"
        )
    drawn = dict.fromkeys(val, "val") | dict.fromkeys(test, "test")
    return subjects.map(lambda subject: known_splits.get(subject) or drawn.get(subject, "train"))
