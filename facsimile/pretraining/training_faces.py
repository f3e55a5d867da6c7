"""Training and held-out faces of a generator, from any face table."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from facsimile import world
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import (
    atomic_file,
    column_names,
    decode_images,
    iter_table,
    read_faces,
    shard_paths,
)
from facsimile.pretraining.options import TrainingOptions

REQUIRED = ("sample_id", "subject_id", "split", "image")

TRAIN, TEST = "train.npy", "test.npy"
BEGUN = "begun.json"


@dataclass(frozen=True)
class TrainingFaces:
    """Faces for training and evaluating a generator.

    Attributes:
        train: training faces, uint8 (N, H, W, 3), memory-mapped so that processes share one copy.
        test: faces of people not in `train`, uint8 (M, H, W, 3).
        test_rows: sample_id and AUs of `test` (null: not annotated).
    """

    train: np.ndarray
    test: np.ndarray
    test_rows: pd.DataFrame


def open_faces(table: Path, work: Path, options: TrainingOptions) -> TrainingFaces:
    """Load the splits train and test of a table, decoding the images into WORK once.

    If the table is WORK/faces, it is rendered unless it exists. Rendered tables have no AUs, like
    the dataset they imitate, so the AUs are taken from the population.

    Args:
        table: face table with at least the columns ``REQUIRED``.
        work: folder of the training.
        options: training options; at most `holdout` faces of the split test are used.

    Raises:
        FacsimileError: a column is missing, a split has too few faces, an image is unreadable or
            has the wrong size, or the training in WORK was started with other faces or options.
    """
    rendered = table == work / "faces"
    if rendered and not table.exists():
        world.write_faces(
            table,
            options.dataset,
            options.faces,
            options.unet.image_size,
            options.seed,
            options.workers,
        )
    present = column_names(shard_paths(table)[0])
    if missing := [name for name in REQUIRED if name not in present]:
        raise FacsimileError(f"{table}: missing column {', '.join(missing)}")
    rows = read_faces(table, [name for name in (*REQUIRED[:-1], *AUS) if name in present])
    train = rows["split"] == "train"
    test = (rows["split"] == "test") & ((rows["split"] == "test").cumsum() <= options.holdout)
    # The Fréchet distance needs two faces.
    for split, chosen, least in (("train", train, 1), ("test", test, 2)):
        if chosen.sum() < least:
            raise FacsimileError(
                f"{table}: {chosen.sum()} faces of the split {split}, at least {least} needed"
            )
    _begin(work, table, rows, options)
    for name, chosen in ((TRAIN, train), (TEST, test)):
        if not (work / name).exists():
            _decode(table, chosen.to_numpy(), options.unet.image_size, work / name)

    test_rows = rows.loc[test].reindex(columns=["sample_id", *AUS]).reset_index(drop=True)
    if rendered:
        people = world.population(options.dataset, options.faces, options.seed).set_index(
            "sample_id"
        )
        test_rows[list(AUS)] = people.loc[test_rows["sample_id"], list(AUS)].to_numpy()
    # Copy on write, although nothing writes: torch warns about read-only arrays.
    return TrainingFaces(np.load(work / TRAIN, mmap_mode="c"), np.load(work / TEST), test_rows)


def _begin(work: Path, table: Path, rows: pd.DataFrame, options: TrainingOptions) -> None:
    """Record the inputs of a training; refuse to continue with different ones."""
    digest = hashlib.sha256("\0".join(rows["sample_id"] + "\0" + rows["split"]).encode())
    now = options.of_the_weights() | {"faces of the table": digest.hexdigest()[:12]}
    note = work / BEGUN
    if not note.exists():
        with atomic_file(note) as temporary:
            temporary.write_text(json.dumps(now, indent=2) + "\n")
        return
    then = json.loads(note.read_text())
    for key in now:
        if then.get(key) != now[key]:
            raise FacsimileError(
                f"{work}: a training with {key} {then.get(key)} was started here, but now it is "
                f"{now[key]}; remove the folder or choose another one with --work"
            )


def _decode(table: Path, chosen: np.ndarray, size: int, path: Path) -> None:
    """Write the images of the rows selected by `chosen` (bool) as one uint8 array."""
    shape = (int(chosen.sum()), size, size, 3)
    with atomic_file(path) as temporary:
        images = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        start = done = 0
        for batch in iter_table(table, 256, ["sample_id", "image"]):
            rows = batch[chosen[start : start + len(batch)]]
            start += len(batch)
            if rows.empty:
                continue
            pixels = decode_images(rows, str(table))
            if pixels.shape[1:] != shape[1:]:
                raise FacsimileError(
                    f"{table}: {rows['sample_id'].iat[0]}: image size is {pixels.shape[1:3]}, "
                    f"generator.unet.image_size is {size}"
                )
            images[done : done + len(rows)] = pixels
            done += len(rows)
        images.flush()
