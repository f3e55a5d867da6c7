"""Reads the faces that the report shows: edits of held-out people, synthetic people, rejections."""

import pandas as pd
import pyarrow as pa
import torch

from facsimile.editing import Directions, edit
from facsimile.faces.aus import AUS
from facsimile.faces.tables import decode_images, read_faces, read_table, to_uint8
from facsimile.generator import Codes, Generator
from facsimile.report.sheets import (
    edit_sheet,
    rejection_sheet,
    some_rejected,
    synthetic_sheet,
    transfer_sheet,
)
from tasks.helpers.data import read_editable
from tasks.shared.artefacts import FILTER, INGEST, SYNTHESIZE, TRANSFER, generated_tables


def edited_people(
    generator: Generator,
    directions: Directions,
    dataset: str,
    people: int,
    intensities: tuple[float, ...],
) -> list[pa.Table]:
    """Held-out people with each AU at each intensity."""
    faces = read_editable(dataset, "test").drop_duplicates("subject_id").head(people)
    if faces.empty:
        return []
    images = read_faces(INGEST / dataset, ["sample_id", "image"]).set_index("sample_id")
    originals = decode_images(images.loc[faces["sample_id"]].reset_index(), str(INGEST / dataset))
    codes = Codes.from_table(faces).to(generator.device)
    edits = [(au, s) for au in directions.aus for s in intensities]
    decoded = []
    for index in range(len(faces)):
        z = codes.z[[index]]
        z = torch.cat([z, *(edit(z, directions, {au: s}) for au, s in edits)])
        # All of them with the one x_T of the face.
        decoded.append(to_uint8(generator.decode(codes[[index] * len(z)].replace_z(z))))
    return edit_sheet(originals, decoded, edits)


def transferred_people(dataset: str, people: int) -> list[pa.Table]:
    """Annotated expressions beside the people they were transferred to."""
    columns = ["sample_id", "subject_id", "source_id", "image", *AUS]
    transferred = read_faces(TRANSFER / "faces", columns)
    images = read_faces(INGEST / dataset, ["sample_id", "image"]).set_index("sample_id")["image"]
    return transfer_sheet(transferred, images, people)


def synthetic_people() -> list[pa.Table]:
    """One synthetic identity of each gender × age group."""
    identities = read_table(
        SYNTHESIZE / "identities", ["sample_id", "gender", "age_group", "image", "sampled_image"]
    )
    columns = ["sample_id", "source_id", "edited_au", "image", *AUS]
    return synthetic_sheet(identities, read_faces(SYNTHESIZE / "faces", columns))


def rejected_faces() -> list[pa.Table]:
    """Some rejected faces for each reason."""
    rejected = some_rejected(pd.read_parquet(FILTER / "decisions.parquet"))
    columns = ["sample_id", "image"]
    faces = pd.concat(read_faces(table, columns) for table in generated_tables())
    return rejection_sheet(rejected, faces.set_index("sample_id")["image"])
