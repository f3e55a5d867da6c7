"""The report as one HTML file that works offline, in light and dark mode."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from facsimile import __version__
from facsimile.faces.aus import AU_NAMES, AUS
from facsimile.faces.origins import ORIGINS
from facsimile.faces.tables import atomic_file, decode_images
from facsimile.rejection_reasons import REASONS
from facsimile.report.evidence import Evidence
from facsimile.report.pictures import pictures
from facsimile.report.style import to_svg
from facsimile.report.summary import tiles, verdict

TEMPLATE = "report.html"
THUMBNAIL = 128  # pixels: largest side of a face in the file
AU_COLUMNS = 12  # columns of edits side by side; more go into a further block
_SOFT_HYPHENS = {"reconstruction": "recon\u00adstruction", "neutralized": "neutral\u00adized"}


@dataclass(frozen=True)
class Face:
    """One face on the page: data URI, alternative text and caption."""

    source: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Block:
    """A grid of faces that fits the page.

    Attributes:
        groups: heading and number of columns of each group of columns.
        columns: second line of headings, one per column.
        rows: label and faces of each row; None for a missing face.
    """

    groups: list[tuple[str, int]]
    columns: list[str]
    rows: list[tuple[str, list[Face | None]]]


def write_report(directory: Path, lineage: Mapping[str, Any], path: Path) -> None:
    """Write the report of one evaluation, replacing `path` atomically.

    Args:
        directory: folder of the evaluate stage: metrics.json and any of ``evidence.TABLES``.
        lineage: provenance of the figures; any of ``git_commit`` (str), ``git_dirty`` (bool),
            ``git_unknown`` (str, why there is no commit), ``mlflow_run`` (str), ``python`` (str),
            ``packages`` (name → version), ``params`` (nested) and ``stages``: a list of ``{"name",
            "cmd", "seconds", "deps", "outs"}`` where deps and outs are lists of ``{"path", "md5",
            "size"}``.
        path: the HTML file.

    Raises:
        FacsimileError: the folder has no metrics, or a table lacks a column.
    """
    page = render(Evidence.read(directory), lineage)
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render(evidence: Evidence, lineage: Mapping[str, Any]) -> str:
    """The report as HTML text (see `write_report`)."""
    gallery = evidence.tables.get("gallery")
    sheets = dict(list(gallery.groupby("sheet", sort=False))) if gallery is not None else {}
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            au_names=AU_NAMES,
            editor=evidence.tables.get("editor"),
            figures={
                name: inline_figure(name, picture.draw(), picture.alt, picture.caption)
                for name, picture in pictures(evidence).items()
            },
            galleries=[origin for name, origin in ORIGINS.items() if name in sheets],
            lineage=lineage,
            left_out=[au for au in AUS if au not in evidence.aus],
            metrics=evidence.metrics,
            explanations={reason.label: reason.explanation for reason in REASONS.values()},
            rejected=_faces(sheets["rejected"]) if "rejected" in sheets else {},
            sheets={name: blocks(sheet) for name, sheet in sheets.items() if name != "rejected"},
            tiles=tiles(evidence),
            verdict=verdict(evidence),
            version=__version__,
        )
    )


def environment(*folders: Path) -> Environment:
    """Environment for the templates of this package and further folders, with their filters."""
    templates = Environment(
        loader=FileSystemLoader([Path(__file__).parent, *folders]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"number": _number, "size": _size, "yaml": _yaml}
    return templates


def inline_image(image: np.ndarray) -> str:
    """Data URI of a uint8 (H, W, 3) image, at most ``THUMBNAIL`` pixels wide and high."""
    picture = Image.fromarray(image)
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=88, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def inline_figure(name: str, figure: Figure, alt: str, caption: str) -> dict[str, Any]:
    """A figure for the macro `chart` of macros.html.

    Args:
        name: unique on the page.
        figure: drawn under `look`.
        alt: text alternative for screen readers.
        caption: how to read it.
    """
    width = round(figure.get_figwidth() * 115)  # CSS pixels; type is then about 14 px
    svg = to_svg(figure, name.replace("_", ""), alt)
    return {"svg": Markup(svg), "caption": caption, "width": width}


def blocks(sheet: pd.DataFrame) -> list[Block]:
    """Split a contact sheet into blocks that fit the page; each repeats the unedited faces.

    A column called "AU04 0.5" is an edit of AU04. Columns of one AU stay together.

    Args:
        sheet: rows of one sheet in ``GALLERY_SCHEMA``.
    """
    by_row = _faces(sheet)
    names = list(sheet["column"].unique())
    fixed = [name for name in names if name.split(" ")[0] not in AUS]
    by_au: dict[str, list[str]] = {}
    for name in names:
        if name not in fixed:
            by_au.setdefault(name.split(" ")[0], []).append(name)
    parts: list[list[str]] = [[]]
    for edits in by_au.values():
        if parts[-1] and len(parts[-1]) + len(edits) > AU_COLUMNS:
            parts.append([])
        parts[-1] += edits
    return [_block(by_row, fixed, part) for part in parts]


def _block(by_row: Mapping[str, Mapping[str, Face]], fixed: list[str], edits: list[str]) -> Block:
    groups = [(_SOFT_HYPHENS.get(name, name), 1) for name in fixed]
    for au in dict.fromkeys(name.split(" ")[0] for name in edits):
        groups.append((au, sum(name.split(" ")[0] == au for name in edits)))
    columns = [""] * len(fixed) + [name.partition(" ")[2] for name in edits]
    rows = [(row, [faces.get(name) for name in (*fixed, *edits)]) for row, faces in by_row.items()]
    return Block(groups, columns, rows)


def _faces(sheet: pd.DataFrame) -> dict[str, dict[str, Face]]:
    """row → column → face."""
    name = sheet["sheet"].iloc[0]
    images = decode_images(sheet.assign(sample_id=sheet["row"]), f"gallery, sheet {name}")
    faces: dict[str, dict[str, Face]] = {}
    captions = sheet["caption"].fillna("")
    places = zip(images, sheet["row"], sheet["column"], captions, strict=True)
    for image, row, column, caption in places:
        face = Face(inline_image(image), f"{row}: {column}", caption)
        faces.setdefault(row, {})[column] = face
    return faces


def _number(value: float | None) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 100):
        return f"{value:,.0f}"
    return f"{value:.4g}".replace("-", "−")


def _size(count: int) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
