"""Tables of labelled example faces, and contact sheets drawn from them.

A sheet is a grid. Each face has the name of its sheet, row and column; rows and columns appear in
the order of their first face, and cells without a face stay empty.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image, ImageDraw, ImageFont

from facsimile.errors import FacsimileError
from facsimile.faces.tables import conform, decode_images, image_structs

GALLERY_SCHEMA = pa.schema(
    [
        pa.field("sheet", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("column", pa.string(), nullable=False),
        pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.field("caption", pa.string()),
    ]
)
"""One face of a contact sheet, with an optional caption."""

_GAP, _MARGIN, _BACKGROUND, _INK = 2, 6, (255, 255, 255), (28, 30, 33)


def gallery_rows(
    sheet: str,
    rows: Sequence[str],
    columns: Sequence[str],
    images: np.ndarray,
    captions: Sequence[str] | None = None,
) -> pa.Table:
    """Faces of one sheet as a table in ``GALLERY_SCHEMA``.

    Args:
        sheet: name of the sheet.
        rows, columns: labels of the row and column of each of N faces.
        images: uint8 (N, H, W, 3).
        captions: N texts, or None for no captions.
    """
    paths = [f"{sheet}/{row}/{column}" for row, column in zip(rows, columns, strict=True)]
    faces = {
        "sheet": [sheet] * len(paths),
        "row": list(rows),
        "column": list(columns),
        "image": image_structs(images, paths),
    }
    if captions is not None:
        faces["caption"] = list(captions)
    return conform(pa.table(faces), GALLERY_SCHEMA)


def contact_sheet(
    gallery: pd.DataFrame, sheet: str, scale: int = 1, captions: bool = False
) -> np.ndarray:
    """Draw a sheet with its labels on white, uint8 (H, W, 3).

    Args:
        gallery: rows of ``GALLERY_SCHEMA``.
        sheet: name of the sheet.
        scale: integer enlargement of the faces.
        captions: whether to write the captions below the faces, in as many lines as they take.

    Raises:
        FacsimileError: the gallery has no such sheet.
    """
    faces = gallery[gallery["sheet"] == sheet]
    if faces.empty:
        names = ", ".join(gallery["sheet"].unique()) or "none"
        raise FacsimileError(f"gallery: no sheet {sheet!r}, only {names}")
    images = decode_images(faces.assign(sample_id=faces["row"]), f"gallery, sheet {sheet}")
    height, width = (scale * side for side in images.shape[1:3])
    rows, columns = list(faces["row"].unique()), list(faces["column"].unique())

    font = ImageFont.load_default(max(9, height // 6))
    text_height = sum(font.getmetrics())
    texts = [_wrap(text, font, width) for text in faces["caption"]] if captions else []
    step = height + _GAP + text_height * max(map(len, texts), default=0)
    # Column labels are rotated if one is wider than a face.
    upright = max(font.getlength(column) for column in columns) > width
    head = max(int(font.getlength(column)) for column in columns) if upright else text_height
    left = max(int(font.getlength(row)) for row in rows) + 2 * _MARGIN
    top = head + 2 * _MARGIN
    size = (
        left + len(columns) * (width + _GAP) - _GAP + _MARGIN,
        top + len(rows) * step - _GAP + _MARGIN,
    )
    picture = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for index, row in enumerate(rows):
        middle = top + index * step + height // 2
        draw.text((left - _MARGIN, middle), row, _INK, font, anchor="rm")
    for index, column in enumerate(columns):
        centre = left + index * (width + _GAP) + width // 2
        if upright:
            label = Image.new("RGB", (head, text_height), _BACKGROUND)
            ImageDraw.Draw(label).text((0, 0), column, _INK, font)
            picture.paste(label.rotate(90, expand=True), (centre - text_height // 2, _MARGIN))
        else:
            draw.text((centre, _MARGIN), column, _INK, font, anchor="ma")
    for n, (image, row, column) in enumerate(
        zip(images, faces["row"], faces["column"], strict=True)
    ):
        place = (
            left + columns.index(column) * (width + _GAP),
            top + rows.index(row) * step,
        )
        face = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
        picture.paste(face, place)
        if captions:
            below = (place[0], place[1] + height)
            draw.multiline_text(below, "\n".join(texts[n]), _INK, font, spacing=0)
    return np.asarray(picture)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines of words that are not wider than `width` pixels, unless a word is."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
