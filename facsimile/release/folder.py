"""Write the folder of a release, atomically.

data/<split>-00000-of-00001.parquet   marked images and labels
figures/*.png                         figures of the card
README.md                             the card
croissant.json                        the Croissant file
"""

import io
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.origins import ORIGINS, REAL, generated_origins
from facsimile.faces.tables import atomic_directory, decode_images, iter_table, read_faces
from facsimile.measurement import count_aus
from facsimile.release.card import render_card
from facsimile.release.card_pictures import choose_faces, demographic_counts, draw_faces
from facsimile.release.columns import RELEASE_SCHEMA
from facsimile.release.croissant import croissant
from facsimile.release.facts import Release
from facsimile.release.shards import SHARD_BYTES, write_split_shards
from facsimile.release.signing import Signer
from facsimile.release.xmp import Provenance, embed, packet
from facsimile.report import Picture, demographics, pictures, to_png

CROISSANT = "croissant.json"
BATCH = 256  # faces in memory at once, and rows per row group

_CARD_PICTURES = ("au_counts", "f1_per_au", "edit_effects")


def write_release(
    out: Path,
    faces: Path,
    release: Release,
    *,
    origins: Collection[str] | None = None,
    edits: pd.DataFrame,
    signer: Signer | None = None,
    overwrite: bool = False,
    advance: Callable[[int], None] = lambda count: None,
    shard_bytes: int = SHARD_BYTES,
) -> int:
    """Write a release. The same input gives the same bytes, except for C2PA manifests.

    Args:
        out: output folder.
        faces: table of generated faces.
        release: facts about the release; the table ``au_counts`` of its evidence, if any, holds
            real faces only.
        origins: origins of the faces to release (default: all generated ones).
        edits: intensities that were set, one column per AU, indexed by sample_id; null if unknown.
        signer: signs every image; None for no signatures.
        overwrite: replace an existing release in `out`.
        advance: called with the number of faces written since the last call.
        shard_bytes: a new shard begins when the images of a shard reach this size, bytes.

    Returns:
        Number of faces.

    Raises:
        FacsimileError: `out` exists; there are no faces to release; a face is real, or its image is
            not a PNG, is unreadable or differs in size; images cannot be signed.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise FacsimileError(f"{out} already exists; overwrite it or choose another folder")
    if out.exists() and not (out / CROISSANT).exists():
        raise FacsimileError(f"{out} is not a release, so it is not overwritten; choose another")
    rows = read_faces(faces, [name for name in RELEASE_SCHEMA.names if name != "image"])
    _reject_real(rows, faces)
    origins = generated_origins() if origins is None else origins
    rows = rows[rows["origin"].isin(origins)].reset_index(drop=True)
    if rows.empty:
        raise FacsimileError(f"{faces}: no {' or '.join(origins)} face to release")
    chosen = choose_faces(rows)
    batches = _Batches(faces, origins, set(chosen["sample_id"]), advance)

    def mark(row: dict[str, Any]) -> bytes:
        text = packet(row["sample_id"], release.licence.url, _lineage(row, release, edits))
        try:
            png = embed(row["image"]["bytes"], text)
        except FacsimileError as error:
            raise FacsimileError(f"{faces}: {row['sample_id']}: image is {error}") from error
        return signer(png, row["sample_id"]) if signer else png

    with atomic_directory(out) as folder:
        shards = write_split_shards(batches, folder / "data", mark, shard_bytes)
        release = _with_counts(release, rows)
        cells = demographic_counts(rows)
        described = _write_pictures(folder / "figures", release, cells)
        sheet = draw_faces(chosen, batches.kept)
        described["faces"] = _write_sheet(folder / "figures" / "faces.png", sheet, release, signer)
        card = render_card(
            release, rows, shards, cells, described, batches.image_size, signed=signer is not None
        )
        (folder / "README.md").write_text(card, encoding="utf-8")
        content = json.dumps(croissant(release, shards), indent=2, ensure_ascii=False)
        (folder / CROISSANT).write_text(content + "\n", encoding="utf-8")
    return len(rows)


class _Batches:
    """Iterates over the faces of some origins in batches, and stores the images listed in `keep`.

    Attributes:
        kept: sample_id → image of the faces in `keep`.
        image_size: height and width of all images, pixels.
    """

    def __init__(
        self,
        faces: Path,
        origins: Collection[str],
        keep: set[str],
        advance: Callable[[int], None],
    ) -> None:
        self.faces, self.origins, self.keep, self.advance = faces, origins, keep, advance
        self.kept: dict[str, dict] = {}
        self.image_size: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[pd.DataFrame]:
        for batch in iter_table(self.faces, BATCH, RELEASE_SCHEMA.names):
            batch = batch[batch["origin"].isin(self.origins)]
            if batch.empty:
                continue
            size = decode_images(batch, str(self.faces)).shape[1:3]
            self.image_size = self.image_size or size
            if size != self.image_size:
                first = batch["sample_id"].iloc[0]
                raise FacsimileError(
                    f"{self.faces}: {first}: image is {size}, but others are {self.image_size}"
                )
            kept = batch[batch["sample_id"].isin(self.keep)]
            self.kept |= dict(zip(kept["sample_id"], kept["image"], strict=True))
            yield batch
            self.advance(len(batch))


def _reject_real(rows: pd.DataFrame, faces: Path) -> None:
    real = rows.index[rows["origin"] == REAL]
    if len(real):
        name = rows.at[real[0], "sample_id"]
        raise FacsimileError(
            f"{faces}: row {real[0]} ({name}): column origin: real faces are not released"
        )


def _lineage(row: dict[str, Any], release: Release, edits: pd.DataFrame) -> Provenance:
    """Provenance of a face for its XMP, as far as known."""
    values: dict[str, str | list[str]] = {
        "SampleID": row["sample_id"],
        "Release": release.name,
        "Dataset": row["dataset"],
        "Subject": row["subject_id"],
        "Origin": row["origin"],
    }
    for name, column in (
        ("SourceID", "source_id"),
        ("EditedAU", "edited_au"),
        ("Seed", "seed"),
        ("GeneratorMD5", "generator_md5"),
        ("Editor", "editor"),
        ("EditorMD5", "editor_md5"),
    ):
        if pd.notna(row[column]):
            values[name] = f"{row[column]:.0f}" if name == "Seed" else row[column]
    intensities = edits.loc[row["sample_id"]]
    if intensities.notna().all():
        values["Edit"] = [f"{au} {np.float32(s)!s}" for au, s in intensities.items() if s > 0]
    values["NotLabelled"] = [au for au in AUS if pd.isna(row[au])]
    stage = release.stage(ORIGINS[row["origin"]].stage)
    if stage:
        data = [path for path in stage.reads if path.startswith("data/")]
        values["MadeOf"] = [f"{path} {stage.reads[path]}" for path in data]
        values |= {"CodeRevision": stage.revision or "", "MLflowRun": stage.run or ""}
    return {name: value for name, value in values.items() if value}


def _with_counts(release: Release, rows: pd.DataFrame) -> Release:
    """Add AU counts of the released faces to those of real faces."""
    tables = release.evidence.tables
    counts = [tables["au_counts"]] if "au_counts" in tables else []
    counts = pd.concat([*counts, count_aus(rows)], ignore_index=True)
    return replace(
        release, evidence=replace(release.evidence, tables=tables | {"au_counts": counts})
    )


def _write_pictures(folder: Path, release: Release, cells: pd.DataFrame) -> dict[str, Picture]:
    folder.mkdir()
    found = pictures(release.evidence)
    drawn = {name: found[name] for name in _CARD_PICTURES if name in found}
    drawn["demographics"] = Picture(
        partial(demographics, cells),
        "Stacked bars: number of released faces by gender, age group and origin.",
        "",
    )
    for name, picture in drawn.items():
        to_png(picture.draw(), folder / f"{name}.png")
    return drawn


def _write_sheet(path: Path, sheet: np.ndarray, release: Release, signer: Signer | None) -> Picture:
    """Write the contact sheet, marked like the faces on it."""
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG")
    name = f"{release.name}/figures/{path.name}"
    png = embed(buffer.getvalue(), packet(name, release.licence.url, {"Release": release.name}))
    path.write_bytes(signer(png, name) if signer else png)
    caption = "The most strongly edited faces per AU, of different people where possible."
    return Picture(lambda: None, "Released faces by AU.", caption)
