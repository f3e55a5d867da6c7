"""CelebA: 202,599 portraits of 10,177 people with binary attributes; no AUs.

Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015.

    list_attr_celeba.txt       number of images; attribute names; lines ``000001.jpg -1  1 …``
    identity_CelebA.txt        optional: lines ``000001.jpg 2880``
    list_eval_partition.txt    optional: lines ``000001.jpg 0``; 0 train, 1 val, 2 test
    img_align_celeba/000001.jpg

All in one folder, as for torchvision.datasets.CelebA, or each in a subfolder of any name, as
published (``Anno``, ``Eval``, ``Img``). Published images are 178 × 218 pixels; set ``crop`` to use
them.

Without identities, each image counts as a person. The published partition is subject-exclusive.
"""

import warnings
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from facsimile.datasets.adapter import Adapter, image_files
from facsimile.datasets.rejects import Rejects
from facsimile.datasets.terms import agreement
from facsimile.errors import FacsimileError
from facsimile.faces.aus import NUISANCES
from facsimile.faces.schema import Violation

ATTRIBUTES = "list_attr_celeba.txt"
IDENTITIES = "identity_CelebA.txt"
PARTITION = "list_eval_partition.txt"
IMAGES = "img_align_celeba"

SPLITS = {"0": "train", "1": "val", "2": "test"}
READ = ("Eyeglasses", "No_Beard", "Goatee", "Mustache", "Male", "Young")
"""Attributes that `nuisances` needs."""


def recognises(path: Path) -> bool:
    """Whether `path` is a folder with ``list_attr_celeba.txt``, directly or in a subfolder."""
    return _find(path, ATTRIBUTES) is not None


def nuisances(present: dict[str, bool]) -> dict[str, float]:
    """CelebA attributes → ``NUISANCES`` as 0 or 1.

    A goatee or mustache counts as a beard. Age is 0 if young, else 1: the ends of the range to
    which ages in years are mapped.
    """
    return {
        "eyeglasses": float(present["Eyeglasses"]),
        "beard": float(not present["No_Beard"] or present["Goatee"] or present["Mustache"]),
        "male": float(present["Male"]),
        "age": float(not present["Young"]),
    }


def annotate(path: Path, dataset: str, rejects: Rejects) -> pd.DataFrame:
    """One row per line of ``list_attr_celeba.txt``, with ``sample_id`` ``<dataset>/000001``.

    ``subject_id`` is ``celeba-2880``, because a bare number is not unique across datasets. Warns
    about unlisted images, which are skipped, and about missing identities.

    Args:
        path: folder of CelebA.
        dataset: prefix of the ids.
        rejects: receives lines with a wrong number of values, attributes other than −1 and 1,
            identities that are not numbers, partitions other than 0, 1 and 2, images listed twice
            or missing from a list, and a stated number of images that is wrong.

    Raises:
        FacsimileError: attributes or images are missing, or the header lacks one of ``READ``.
    """
    attributes, images = _find(path, ATTRIBUTES), _find(path, IMAGES)
    if not attributes or not images or not images.is_dir():
        raise FacsimileError(
            f"{path}: no {IMAGES if attributes else ATTRIBUTES} in it or its subfolders"
        )
    violations: list[Violation] = []
    present = _read_attributes(attributes, violations)
    identities, partition = _find(path, IDENTITIES), _find(path, PARTITION)
    lists = {}
    if identities:
        lists["subject_id"] = identities, _read_list(identities, "identity", (), violations)
    else:
        warnings.warn(f"{path}: no {IDENTITIES}, so each image counts as a person", stacklevel=2)
    if partition:
        lists["split"] = partition, _read_list(partition, "partition", SPLITS, violations)
    rows: list[dict[str, object]] = []
    for image, (line, labels) in present.items():
        row: dict[str, object] = {"subject_id": Path(image).stem}
        for column, (file, values) in lists.items():
            row[column] = values.get(image)
            if image not in values:
                reason = f"has no line in {file.name}"
                violations.append(Violation(str(attributes), line, "image", image, reason))
        if labels and None not in row.values():
            row["subject_id"] = f"celeba-{row['subject_id']}"
            if "split" in row:
                row["split"] = SPLITS[row["split"]]
            row |= {"sample_id": f"{dataset}/{Path(image).stem}", **nuisances(labels)}
            row |= {"image_path": str((images / image).absolute())}
            rows.append(row | {"file": str(attributes), "line": line})
    rejects.add(violations)
    if unlisted := len({image.name for image in images.iterdir()} - present.keys()):
        reason = f"{unlisted:,} files not listed in {ATTRIBUTES} are skipped"
        warnings.warn(f"{images}: {reason}", stacklevel=2)
    split = ["split"] if partition else []
    columns = ["sample_id", "subject_id", *split, *NUISANCES, "image_path", "file", "line"]
    return pd.DataFrame(rows, columns=columns)


def _find(path: Path, name: str) -> Path | None:
    """A file or folder of this name in `path` or in one of its subfolders."""
    candidates = (path / name, *sorted(path.glob(f"*/{name}")))
    return next((path for path in candidates if path.is_file() or path.is_dir()), None)


def _read_attributes(
    file: Path, violations: list[Violation]
) -> dict[str, tuple[int, dict[str, bool] | None]]:
    """Image → line, and presence of each attribute in ``READ`` (None if rejected)."""
    lines = file.read_text("utf-8-sig", "replace").splitlines()
    header = lines[1].split() if len(lines) > 1 else []
    for name in READ:
        if name not in header:
            raise FacsimileError(f"{file}: line 2: missing attribute {name}")
    present: dict[str, tuple[int, dict[str, bool] | None]] = {}
    for line, text in enumerate(lines[2:], start=3):
        image, *values = text.split() or [""]
        named = dict(zip(header, values, strict=False))
        if not image:
            continue
        if image in present:
            reason = f"is a duplicate of line {present[image][0]}"
            violations.append(Violation(str(file), line, "image", image, reason))
        elif len(values) != len(header):
            reason = f"has {len(values)} attributes, the header {len(header)}"
            violations.append(Violation(str(file), line, None, None, reason))
            present[image] = line, None
        else:
            wrong = [name for name in READ if named[name] not in ("-1", "1")]
            violations += [
                Violation(str(file), line, name, named[name], "not −1 or 1") for name in wrong
            ]
            present[image] = line, None if wrong else {name: named[name] == "1" for name in READ}
    count = lines[0].strip()
    if count != str(len(present)):
        reason = f"does not match the number of images, {len(present)}"
        violations.append(Violation(str(file), 1, "images", count or None, reason))
    return present


def _read_list(
    file: Path, column: str, allowed: Collection[str], violations: list[Violation]
) -> dict[str, str | None]:
    """Image → value (None if rejected): one of `allowed`, or any integer if that is empty."""
    listed: dict[str, str | None] = {}
    for line, text in enumerate(file.read_text("utf-8-sig", "replace").splitlines(), start=1):
        image, value = [*text.split(maxsplit=1), "", ""][:2]
        value = value.strip()
        if not image:
            continue
        if image in listed:
            violations.append(Violation(str(file), line, "image", image, "is a duplicate"))
        elif not (value in allowed if allowed else value.isdecimal()):
            reason = f"not one of {', '.join(allowed)}" if allowed else "not a whole number"
            violations.append(Violation(str(file), line, column, value or None, reason))
            listed[image] = None
        else:
            listed[image] = value
    return listed


ADAPTER = Adapter(
    recognises,
    annotate,
    image_files,
    reads="`list_attr_celeba.txt` and `img_align_celeba/000001.jpg` …, cropped to squares; people "
    "from `identity_CelebA.txt` and the split from `list_eval_partition.txt` if present",
    labels="eyeglasses, beard, gender, age; no AUs",
    terms=agreement(
        "non-commercial research only, and no part of it may be copied, published or distributed",
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    ),
    image_column="image",
)
