"""Demographic counts and the contact sheet of a release."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from facsimile.faces.aus import AUS
from facsimile.faces.demographics import CELL_NAMES, cell_names
from facsimile.faces.tables import decode_images
from facsimile.report import contact_sheet, gallery_rows

FACES_PER_AU = 5  # of each origin on the contact sheet
FACE_WIDTH = 96  # approximate width of a face on the contact sheet, pixels
MIXED = "mixed"


def demographic_counts(faces: pd.DataFrame) -> pd.DataFrame:
    """Number of faces and people by origin and gender × age group: origin, cell, faces, people.

    Args:
        faces: rows with origin, subject_id, male and age.
    """
    cells = pd.Categorical(cell_names(faces["male"], faces["age"]), CELL_NAMES)
    grouped = faces.assign(cell=cells).groupby(["origin", "cell"], observed=True)["subject_id"]
    return grouped.agg(faces="size", people="nunique").reset_index()


def choose_faces(faces: pd.DataFrame) -> pd.DataFrame:
    """Choose the faces of the contact sheet; returns their sample_id, row and column.

    Takes the most strongly edited faces per AU and origin, of different people where possible.

    Args:
        faces: rows with sample_id, subject_id, origin, edited_au and intensity.
    """
    faces = faces.assign(row=faces["edited_au"].fillna(MIXED))
    faces = faces.sort_values(["intensity", "sample_id"], ascending=[False, True])
    rank = faces.groupby(["row", "origin", "subject_id"]).cumcount()
    faces = faces.assign(rank=rank).sort_values("rank", kind="stable")
    chosen = faces.groupby(["row", "origin"]).head(FACES_PER_AU)
    number = chosen.groupby(["row", "origin"]).cumcount() + 1
    positions = {name: position for position, name in enumerate((*AUS, MIXED))}
    chosen = chosen.assign(
        column=chosen["origin"] + " " + number.astype(str), position=chosen["row"].map(positions)
    ).sort_values(["position", "column"])
    return chosen[["sample_id", "row", "column"]].reset_index(drop=True)


def draw_faces(chosen: pd.DataFrame, images: Mapping[str, dict]) -> np.ndarray:
    """The contact sheet, uint8 (H, W, 3).

    Args:
        chosen: see `choose_faces`.
        images: sample_id → value of the ``image`` column.
    """
    structs = [images[sample_id] for sample_id in chosen["sample_id"]]
    decoded = decode_images(pd.DataFrame({"sample_id": chosen["sample_id"], "image": structs}))
    gallery = gallery_rows("faces", list(chosen["row"]), list(chosen["column"]), decoded)
    scale = max(1, round(FACE_WIDTH / decoded.shape[2]))
    return contact_sheet(gallery.to_pandas(), "faces", scale)
