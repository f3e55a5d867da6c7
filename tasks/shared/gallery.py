"""Faces that the report shows: edits of held-out people, synthetic people, rejected faces."""

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from facsimile.editing import CELLS, Directions, edit
from facsimile.faces.aus import AUS
from facsimile.faces.tables import decode_images, read_faces, read_table, to_uint8
from facsimile.generator import Codes, Generator
from facsimile.report import gallery_rows
from tasks.shared.artefacts import EDIT, FILTER, INGEST, SYNTHESIZE, TRANSFER
from tasks.shared.data import read_editable, spread

MIXTURES = 4
TRANSFERS = 5
REJECTED_PER_REASON = 8
REJECTED_IN_ALL = 40


def edited_people(
    generator: Generator,
    directions: Directions,
    dataset: str,
    people: int,
    intensities: tuple[float, ...],
) -> list[pa.Table]:
    """Sheet "edits": people whom no stage trained on, each AU at each intensity."""
    faces = read_editable(dataset, "test").drop_duplicates("subject_id").head(people)
    if faces.empty:
        return []
    images = read_faces(INGEST / dataset, ["sample_id", "image"]).set_index("sample_id")
    originals = decode_images(images.loc[faces["sample_id"]].reset_index(), str(INGEST / dataset))
    codes = Codes.from_table(faces).to(generator.device)
    edits = [(au, s) for au in directions.aus for s in intensities]
    columns = ["original", "reconstruction", *(f"{au} {s:.1f}" for au, s in edits)]
    tables = []
    for index in range(len(faces)):
        z = codes.z[[index]]
        z = torch.cat([z, *(edit(z, directions, {au: s}) for au, s in edits)])
        # All of them with the one x_T of the face.
        decoded = to_uint8(generator.decode(codes[[index] * len(z)].replace_z(z)))
        shown = np.concatenate([originals[index : index + 1], decoded])
        tables.append(gallery_rows("edits", [f"person {index + 1}"] * len(shown), columns, shown))
    return tables


def transferred_people(dataset: str, people: int) -> list[pa.Table]:
    """Sheet "transfers": of some people, annotated faces and what they look like on others."""
    made = read_faces(TRANSFER / "faces", ["sample_id", "subject_id", "source_id", "image", *AUS])
    images = read_faces(INGEST / dataset, ["sample_id", "image"]).set_index("sample_id")
    tables = []
    for number, person in enumerate(made["subject_id"].unique()[:people], start=1):
        own = spread(made[made["subject_id"] == person], TRANSFERS)
        columns, structs, captions = [], [], []
        for n, (_, face) in enumerate(own.iterrows(), start=1):
            columns += [f"annotated {n}", f"transferred {n}"]
            structs += [images.at[face["source_id"], "image"], face["image"]]
            captions += [_set(face), ""]
        decoded = decode_images(pd.DataFrame({"sample_id": columns, "image": structs}))
        row = [f"person {number}"] * len(columns)
        tables.append(gallery_rows("transfers", row, columns, decoded, captions))
    return tables


def synthetic_people() -> list[pa.Table]:
    """Sheet "synthetic": one identity of each gender × age group, sampled, neutralized, with its
    single AUs and, of its mixtures, those of the most AUs."""
    identities = read_table(
        SYNTHESIZE / "identities", ["sample_id", "gender", "age_group", "image", "sampled_image"]
    )
    columns = ["sample_id", "source_id", "edited_au", "image", *AUS]
    faces = read_faces(SYNTHESIZE / "faces", columns)
    faces["active"] = (faces[list(AUS)] != 0).sum(axis=1)
    tables = []
    for cell in CELLS:
        own = identities[(identities["gender"] == cell[0]) & (identities["age_group"] == cell[1])]
        identity = own.iloc[0]
        made = faces[faces["source_id"] == identity["sample_id"]]
        several = made[made["edited_au"].isna()].sort_values("active", ascending=False)
        edits = {"one AU": made.dropna(subset="edited_au"), "several": several.head(MIXTURES)}
        columns = [f"{name} {n + 1}" for name, rows in edits.items() for n in range(len(rows))]
        columns = ["sampled", "neutralized", *columns]
        shown = pd.concat(edits.values())
        structs = [identity["sampled_image"], identity["image"], *shown["image"]]
        images = decode_images(pd.DataFrame({"sample_id": columns, "image": structs}))
        captions = ["", "", *(_set(face) for _, face in shown.iterrows())]
        row = [" ".join(cell)] * len(columns)
        tables.append(gallery_rows("synthetic", row, columns, images, captions))
    return tables


def _set(face: pd.Series) -> str:
    """The AUs set on a face; those that another one moves along are null."""
    return ", ".join(f"{au} {face[au]:.1f}" for au in AUS if face[au] > 0) or "neutral"


def rejected_faces() -> list[pa.Table]:
    """Sheet "rejected": some faces for each reason, with the score that decided."""
    decisions = pd.read_parquet(FILTER / "decisions.parquet")
    rejected = decisions[~decisions["accepted"]].groupby("reason", sort=False)
    rejected = rejected.head(REJECTED_PER_REASON).head(REJECTED_IN_ALL)
    if rejected.empty:
        return []
    columns = ["sample_id", "image"]
    tables = (EDIT, SYNTHESIZE, TRANSFER)
    faces = pd.concat(read_faces(path / "faces", columns) for path in tables)
    images = decode_images(faces.set_index("sample_id").loc[rejected["sample_id"]].reset_index())
    number = rejected.groupby("reason").cumcount() + 1
    captions = [_why(decision) for _, decision in rejected.iterrows()]
    reasons = rejected["reason"].str.replace("_", " ")
    return [gallery_rows("rejected", list(reasons), list(number.astype(str)), images, captions)]


def _why(decision: pd.Series) -> str:
    scores = {
        "au_consistency": f"AUs agree to {decision['jaccard']:.2f}",
        "latent_distance": f"Mahalanobis distance {decision['mahalanobis']:.1f}",
        "identity": f"identity distance {decision['identity_distance']:.2f}",
        "realism": f"realism {decision['realism']:.2f}",
        "duplicate": f"near duplicate of {decision['duplicate_of']}",
        "balance": "more of these than the balance needs",
    }
    whole = "expression" if decision["origin"] == "transferred" else "mixed AUs"
    what = whole if pd.isna(decision["edited_au"]) else decision["edited_au"]
    return f"{what}, {decision['origin']}: {scores[decision['reason']]}"
