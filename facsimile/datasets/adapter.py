"""What all adapters share: annotations first, checked as a whole; then images, batch by batch.

An adapter knows one layout of files. It reads annotations only, a few bytes a face; nothing is
decoded before all of them are known to be sound.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from facsimile.aus import AUS, NUISANCES
from facsimile.datasets.alignment import LANDMARKS, Aligner
from facsimile.datasets.pictures import decode_rgb, decode_square
from facsimile.datasets.rejects import Rejects
from facsimile.errors import FacsimileError
from facsimile.schema import Finding, find_violations, one_line
from facsimile.seeding import sample_seed
from facsimile.tables import FACE_SCHEMA, conform, image_structs

ANNOTATIONS = ("sample_id", "subject_id", "split", *AUS, "au_presence_only", *NUISANCES)
"""Columns of ``FACE_SCHEMA`` that are read where a dataset has them."""

SPLIT_SHARES = {"val": 0.15, "test": 0.25}
"""Shares of subjects where a dataset has no split of its own; the others are ``train``."""

_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}

ImageSource = Path | bytes | None


def image_files(
    annotations: pd.DataFrame, batch_size: int
) -> Iterator[tuple[pd.DataFrame, list[ImageSource]]]:
    """Batches of annotations with the file that ``image_path`` names, relative to their own."""
    for start in range(0, len(annotations), batch_size):
        rows = annotations.iloc[start : start + batch_size].reset_index(drop=True)
        yield rows, [_image_file(row) for row in rows.itertuples()]


def _image_file(row: tuple) -> Path:
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
        images: annotations, batch size → batches of them with the files or bytes of their images.
        image_column: column that errors of images name.
    """

    recognises: Callable[[Path], bool]
    annotate: Callable[[Path, str, Rejects], pd.DataFrame]
    images: Callable[[pd.DataFrame, int], Iterator[tuple[pd.DataFrame, list[ImageSource]]]]
    image_column: str

    def read(
        self,
        path: Path,
        dataset: str,
        size: int,
        seed: int,
        rejects: Rejects,
        workers: int = 1,
        batch_size: int = 256,
        aligner: Aligner | None = None,
    ) -> tuple[int, Iterator[pa.Table]]:
        """Check a dataset and open it.

        Args:
            path: file or folder.
            dataset: name given to the faces.
            size: side to which faces are resized, pixels.
            seed: of the split, if the dataset has none.
            rejects: receives what is wrong with single faces.
            workers: threads that decode images.
            batch_size: rows of a table; no more images than that are held at once.
            aligner: of faces that are not square and aligned yet.

        Returns:
            Number of faces with sound annotations, and tables of them in ``FACE_SCHEMA``, without
            those whose image is rejected.

        Raises:
            FacsimileError: what `rejects` raises, what is wrong with the dataset as a whole, or no
                face left.
        """
        annotations = self.annotate(path, dataset, rejects)
        landmarks = aligner is not None and not aligner.name
        if landmarks and (missing := [name for name in LANDMARKS if name not in annotations]):
            raise FacsimileError(f"{path}: missing column {', '.join(missing)}, needed to align")
        annotations = check(annotations, rejects, LANDMARKS if landmarks else ())
        _any_left(len(annotations), path, rejects)
        if "split" not in annotations:
            annotations["split"] = draw_splits(annotations["subject_id"], seed, str(path))
        annotations["dataset"], annotations["origin"] = dataset, "real"
        tables = self._decode(annotations, path, size, rejects, workers, batch_size, aligner)
        return len(annotations), tables

    def _decode(
        self,
        annotations: pd.DataFrame,
        path: Path,
        size: int,
        rejects: Rejects,
        workers: int,
        batch_size: int,
        aligner: Aligner | None,
    ) -> Iterator[pa.Table]:
        def decode(source: ImageSource, points: np.ndarray) -> np.ndarray | FacsimileError:
            try:
                if aligner is None:
                    return decode_square(source, size)
                return aligner(decode_rgb(source), points.reshape(-1, 2), size)
            except FacsimileError as error:
                return error

        taken = 0
        with ThreadPoolExecutor(workers) as pool:
            for rows, sources in self.images(annotations, batch_size):
                given = [name for name in LANDMARKS if name in rows]
                images = list(pool.map(decode, sources, rows[given].to_numpy()))
                found = [
                    Finding(row, self.image_column, _name(rows, row), str(image))
                    for row, image in enumerate(images)
                    if isinstance(image, FacsimileError)
                ]
                rows = rejects.drop(rows, found)
                if rows.empty:
                    continue
                kept = [image for image in images if not isinstance(image, FacsimileError)]
                rows["image"] = image_structs(np.stack(kept), rows["sample_id"])
                taken += len(rows)
                yield conform(rows, FACE_SCHEMA)
        _any_left(taken, path, rejects)


def _name(rows: pd.DataFrame, row: int) -> str:
    return rows["image_path"].iat[row] if "image_path" in rows else "image"


def _any_left(faces: int, path: Path, rejects: Rejects) -> None:
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
        presence = given.str.lower().map(_TRUTH)
        found += [
            Finding(row, "au_presence_only", given.iat[row], "not true or false")
            for row in np.flatnonzero(presence.isna())
        ]
        annotations["au_presence_only"] = presence.fillna(False).astype(bool)
    else:
        annotations["au_presence_only"] = False
    if "image_path" in annotations:
        found += [
            Finding(position, "image_path", row.image_path, "is no file")
            for position, row in enumerate(annotations.itertuples())
            if not _image_file(row).is_file()
        ]
    found += find_violations(annotations[[name for name in ANNOTATIONS if name in annotations]])
    return rejects.drop(annotations, sorted(found, key=lambda finding: finding.row))


def draw_splits(subjects: pd.Series, seed: int, source: str) -> pd.Series:
    """A subject-exclusive split in ``SPLIT_SHARES``, at least one subject each.

    Subjects are ranked by a hash of seed and subject_id: their order and the number of their faces
    do not matter.

    Args:
        subjects: subject_id of each face.
        seed: of the stage.
        source: file name for the error.

    Raises:
        FacsimileError: fewer than three subjects.
    """
    ranked = sorted(subjects.unique(), key=lambda subject: sample_seed(seed, subject))
    people = len(ranked)
    if people < 3:
        raise FacsimileError(
            f"{source}: {people} subjects ({', '.join(sorted(ranked))}) cannot be split into "
            "train, val and test; give a column split"
        )
    splits = {}
    for split, share in SPLIT_SHARES.items():
        count = max(1, round(share * people))
        splits |= dict.fromkeys(ranked[:count], split)
        ranked = ranked[count:]
    return subjects.map(lambda subject: splits.get(subject, "train"))
