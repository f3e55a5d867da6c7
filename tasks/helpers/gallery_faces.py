"""Faces shown in the report: edits of held-out people, transfers, synthetic people, rejects."""

import pandas as pd
import pyarrow as pa
import torch

from facsimile.editing import Change, Editor, SourceFaces
from facsimile.faces.aus import AUS
from facsimile.faces.tables import decode_images, read_faces, read_table, to_uint8
from facsimile.generator import Codes, Generator
from facsimile.report.sheets import (
    described_sheet,
    edit_sheet,
    rejection_sheet,
    some_rejected,
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
    images = read_faces(INGEST / dataset, ["sample_id", "image"]).set_index("sample_id")
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
    columns = ["sample_id", "subject_id", "source_id", "image", *AUS]
    transferred = read_faces(TRANSFER / "faces", columns)
    images = read_faces(INGEST / dataset, ["sample_id", "image"]).set_index("sample_id")["image"]
    return transfer_sheet(transferred, images, people)


def synthetic_people() -> list[pa.Table]:
    """One synthetic identity per gender × age group."""
    identities = read_table(
        SYNTHESIZE / "identities", ["sample_id", "gender", "age_group", "image", "sampled_image"]
    )
    columns = ["sample_id", "source_id", "edited_au", "image", *AUS]
    return synthetic_sheet(identities, read_faces(SYNTHESIZE / "faces", columns))


def described_faces() -> list[pa.Table]:
    """Some faces of each prompt."""
    words = read_table(DESCRIBE / "words", ["sample_id", "prompt"])
    faces = read_faces(DESCRIBE / "faces", ["sample_id", "image", *AUS])
    return described_sheet(faces.merge(words, on="sample_id"))


def rejected_faces() -> list[pa.Table]:
    """Some rejected faces for each reason."""
    rejected = some_rejected(pd.read_parquet(FILTER / "decisions.parquet"))
    columns = ["sample_id", "image"]
    faces = pd.concat(read_faces(table, columns) for table in generated_tables())
    return rejection_sheet(rejected, faces.set_index("sample_id")["image"])
