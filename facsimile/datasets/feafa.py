"""FEAFA and FEAFA+: posed and spontaneous video frames; 24 movements with intensities in [0, 1].

Yan, Lu, Xue, Gao, Lyu: FEAFA: A Well-Annotated Dataset for Facial Expression Analysis and 3D Facial
Animation, ICME Workshops, 2019. Gan, Xue, Lu, Yan, Gao, Lyu: FEAFA+: An Extended Well-Annotated
Dataset for Facial Expression Analysis and 3D Facial Animation, arXiv 2111.02751.

    PV001.output/00000001.auw      24 numbers, separated by spaces
    PV001.output/00000001.jpg      cropped to the aligned face; may also be in the parent folder

Folders may be nested in others of any name. The public loaders github.com/jamesjg/resnet-for-au and
github.com/youknowitskyle/farapy-data-tools read this layout.

``MOVEMENTS`` are in the order given by the code of AUHead for the 24 AUs of FEAFA+ (Realistic
Emotional Talking Head Generation via Action Units Control, ICLR 2026). ``COUNTERPARTS`` are the
seven AUs for which FEAFA serves as a test set of detectors trained on DISFA (Kirchner, Gudi,
Bittner, Raman: Controlled Face Manipulation and Synthesis for Data Augmentation), matched by name.
The stronger of left and right counts, so an AU shown on one side is active. All other AUs are null;
other movements are ignored.

Each sequence, PV001 … PV127 (SN001 … for those of DISFA), counts as a person. FEAFA has 122 people
in 127 sequences, but the names do not show which sequences share a person.
"""

import math
import re
import warnings
from pathlib import Path

import pandas as pd

from facsimile.datasets.adapter import Adapter, image_files
from facsimile.datasets.frames import is_image
from facsimile.datasets.numbering import refuse_shifted
from facsimile.datasets.rejects import Rejects
from facsimile.datasets.terms import agreement
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.schema import Violation

MOVEMENTS = (
    "left eye close",
    "right eye close",
    "left lid raise",
    "right lid raise",
    "left brow lower",
    "right brow lower",
    "left brow raise",
    "right brow raise",
    "jaw drop",
    "jaw slide left",
    "jaw slide right",
    "left lip corner pull",
    "right lip corner pull",
    "left lip corner stretch",
    "right lip corner stretch",
    "upper lip suck",
    "lower lip suck",
    "jaw thrust",
    "upper lip raise",
    "lower lip depress",
    "chin raise",
    "lip pucker",
    "cheek puff",
    "nose wrinkle",
)
"""Meaning of the numbers of a label file, in order."""

COUNTERPARTS: dict[str, tuple[str, ...]] = {
    "AU02": ("left brow raise", "right brow raise"),
    "AU04": ("left brow lower", "right brow lower"),
    "AU09": ("nose wrinkle",),
    "AU12": ("left lip corner pull", "right lip corner pull"),
    "AU17": ("chin raise",),
    "AU20": ("left lip corner stretch", "right lip corner stretch"),
    "AU26": ("jaw drop",),
}
"""AU → movements; the AU has the intensity of the stronger one."""

LABELS = "*.auw"

_SEQUENCE = re.compile(r"(?<![A-Za-z])(?:PV|SN)\d{3}(?!\d)")


def recognises(path: Path) -> bool:
    """Whether `path` is a folder with ``.auw`` files at any depth."""
    return path.is_dir() and any(path.rglob(LABELS))


def annotate(path: Path, dataset: str, rejects: Rejects) -> pd.DataFrame:
    """One row per label file, with ``sample_id`` ``<dataset>/PV001.output/00000001``.

    Images without a label file are skipped with a warning.

    Args:
        path: folder with ``.auw`` files at any depth.
        dataset: prefix of the ids.
        rejects: receives label files that are not in a folder named after a sequence, have no
            image, do not hold 24 numbers, or have a movement of ``COUNTERPARTS`` outside [0, 1];
            folders whose image numbers are all off by one; and images with duplicate names.

    Raises:
        FacsimileError: there are no ``.auw`` files.
    """
    files = sorted(path.rglob(LABELS))
    if not files:
        raise FacsimileError(f"{path}: no {LABELS} files")
    found = sorted(filter(is_image, path.rglob("*")))
    images: dict[Path, Path] = {}
    violations: list[Violation] = []
    for image in found:
        if (first := images.setdefault(image.with_suffix(""), image)) != image:
            reason = f"has the same name as {first.name}"
            violations.append(Violation(str(image), None, None, None, reason))
    shifted = _shifted(files, found, violations)
    rejects.add(violations)
    unlabelled = set(found)
    rows: list[dict[str, object]] = []
    for file in files:
        if file.parent in shifted:
            continue
        violations: list[Violation] = []
        relative = file.relative_to(path).with_suffix("")
        sequences = _SEQUENCE.findall(relative.parent.as_posix())
        if not sequences:
            reason = "is not in a folder named after a sequence, such as PV001.output"
            violations.append(Violation(str(file), None, None, None, reason))
        above = file.parent.parent / file.name
        image = images.get(file.with_suffix("")) or images.get(above.with_suffix(""))
        if not image:
            reason = f"has no image beside it or in {above.parent}"
            violations.append(Violation(str(file), None, None, None, reason))
        unlabelled.discard(image)
        aus = _read_aus(file, violations)
        if not violations:
            rows.append(
                {
                    "sample_id": f"{dataset}/{relative.as_posix()}",
                    "subject_id": sequences[-1],
                    **aus,
                    "image_path": str(image.absolute()),
                    "file": str(file),
                    "line": 1,
                }
            )
        rejects.add(violations)
    if unlabelled:
        warnings.warn(
            f"{path}: {len(unlabelled):,} images without a label are skipped", stacklevel=2
        )
    columns = ["sample_id", "subject_id", *AUS, "image_path", "file", "line"]
    return pd.DataFrame(rows, columns=columns)


def _shifted(files: list[Path], images: list[Path], violations: list[Violation]) -> set[Path]:
    """Folders of label files whose image numbers are all off by one."""
    shifted: set[Path] = set()
    labels, numbered = _numbers(files), _numbers(images)
    for folder, numbers in labels.items():
        try:
            refuse_shifted(numbered.get(folder) or numbered.get(folder.parent) or (), numbers)
        except FacsimileError as error:
            violations.append(Violation(str(folder), None, None, None, str(error)))
            shifted.add(folder)
    return shifted


def _numbers(files: list[Path]) -> dict[Path, set[int]]:
    """Folder → numbers used as file names in it."""
    numbers: dict[Path, set[int]] = {}
    for file in files:
        if file.stem.isdecimal():
            numbers.setdefault(file.parent, set()).add(int(file.stem))
    return numbers


def _read_aus(file: Path, violations: list[Violation]) -> dict[str, float]:
    """AU → intensity, for the AUs in ``COUNTERPARTS``."""
    if not file.is_file():
        violations.append(Violation(str(file), None, None, None, "is not a file"))
        return {}
    lines = file.read_text("utf-8-sig", "replace").splitlines()
    values = [(line, value) for line, text in enumerate(lines, 1) for value in text.split()]
    if len(values) != len(MOVEMENTS):
        reason = f"has {len(values)} values, not {len(MOVEMENTS)}"
        violations.append(Violation(str(file), None, None, None, reason))
        return {}
    numbers: dict[str, float] = {}
    for movement, (line, value) in zip(MOVEMENTS, values, strict=True):
        numbers[movement] = _number(value)
        read = any(movement in movements for movements in COUNTERPARTS.values())
        if math.isnan(numbers[movement]):
            violations.append(Violation(str(file), line, movement, value, "not a number"))
        elif read and not 0 <= numbers[movement] <= 1:
            violations.append(Violation(str(file), line, movement, value, "outside [0, 1]"))
    return {au: max(numbers[name] for name in names) for au, names in COUNTERPARTS.items()}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


ADAPTER = Adapter(
    recognises,
    annotate,
    image_files,
    reads="folders of `PV001.output/00000001.auw` …, with cropped frames of the same name in them "
    "or one folder above",
    labels="the seven AUs that have a counterpart in FEAFA, with intensity",
    terms=agreement(
        "an agreement with the University of Chinese Academy of Sciences, for research only",
        "https://www.iiplab.net/feafa+",
    ),
    image_column="image",
)
