"""Faces shown in the report: edits of held-out people, transfers, synthetic people, rejects."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import torch

from facsimile.editing import Change, Editor, SourceFaces
from facsimile.faces.aus import AUS
from facsimile.faces.tables import decode_images, read_faces, read_rows, read_table, to_uint8
from facsimile.generator import Codes, Generator
from facsimile.report.sheets import (
    described_sheet,
    edit_sheet,
    rejection_sheet,
    some_described,
    some_rejected,
    some_synthetic,
    some_transferred,
    synthetic_sheet,
    transfer_sheet,
)
from tasks.helpers.codes import read_editable
from tasks.shared.artefacts import DESCRIBE, FILTER, INGEST, SYNTHESIZE, TRANSFER, generated_tables


def edited_people(
    generator: Generator,
    editor: Editor,
    dataset: str,
    people: int,
    intensities: tuple[float, ...],
) -> list[pa.Table]:
    """Held-out people, edited to each AU at each intensity."""
    faces = read_editable(dataset, "test").drop_duplicates("subject_id").head(people)
    if faces.empty:
        return []
    images = encoded_images([INGEST / dataset], faces["sample_id"])
    originals = decode_images(images.loc[faces["sample_id"]].reset_index(), str(INGEST / dataset))
    codes = Codes.from_table(faces).to(generator.device)
    edits = [(au, s) for au in editor.aus for s in intensities]
    targets = torch.zeros(1 + len(edits), len(AUS), device=generator.device)
    for row, (au, intensity) in enumerate(edits, start=1):  # row 0: not edited
        targets[row, AUS.index(au)] = intensity
    decoded = []
    for index in range(len(faces)):
        source = SourceFaces(codes[[index] * len(targets)])
        edited = editor.edit(source, Change.of_neutral(targets), generator)
        decoded.append(to_uint8(edited.images))
    return edit_sheet(originals, decoded, edits)


def transferred_people(dataset: str, people: int) -> list[pa.Table]:
    """Annotated expressions beside the people they were transferred to."""
    path = TRANSFER / "faces"
    columns = ["sample_id", "subject_id", "source_id", *AUS]
    shown = add_images(path, some_transferred(read_faces(path, columns), people))
    return transfer_sheet(shown, encoded_images([INGEST / dataset], shown["source_id"]))


def synthetic_people() -> list[pa.Table]:
    """One synthetic identity per gender × age group."""
    paths = SYNTHESIZE / "identities", SYNTHESIZE / "faces"
    identities, faces = some_synthetic(
        read_table(paths[0], ["sample_id", "gender", "age_group"]),
        read_faces(paths[1], ["sample_id", "source_id", "edited_au", *AUS]),
    )
    identities = add_images(paths[0], identities, ("image", "sampled_image"))
    return synthetic_sheet(identities, add_images(paths[1], faces))


def described_faces() -> list[pa.Table]:
    """Some faces of each prompt."""
    path = DESCRIBE / "faces"
    words = read_table(DESCRIBE / "words", ["sample_id", "prompt"])
    faces = some_described(read_faces(path, ["sample_id", *AUS]).merge(words, on="sample_id"))
    return described_sheet(add_images(path, faces))


def rejected_faces() -> list[pa.Table]:
    """Some rejected faces for each reason."""
    rejected = some_rejected(pd.read_parquet(FILTER / "decisions.parquet"))
    return rejection_sheet(rejected, encoded_images(generated_tables(), rejected["sample_id"]))


def encoded_images(tables: Sequence[Path], sample_ids: pd.Series) -> pd.Series:
    """sample_id → encoded image of some faces of these tables."""
    rows = [read_rows(table, sample_ids, ["sample_id", "image"]) for table in tables]
    return pd.concat(rows).set_index("sample_id")["image"]


def add_images(
    table: Path, faces: pd.DataFrame, columns: Sequence[str] = ("image",)
) -> pd.DataFrame:
    """Rows of a table, with their encoded images."""
    images = read_rows(table, faces["sample_id"], ["sample_id", *columns])
    return faces.merge(images, on="sample_id", how="left")
