"""The contact sheets of a run: selection, order and captions of the faces.

``some_…`` functions select the rows to show, so that only their images need to be read. Rows of a
sheet have an ``image`` column, which is still encoded. Sheets are lists of tables in
``GALLERY_SCHEMA``, empty if there is nothing to show.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from facsimile.faces.aus import AUS
from facsimile.faces.demographics import CELLS
from facsimile.faces.origins import DESCRIBED, EDITED, ORIGINS, SYNTHETIC, TRANSFERRED
from facsimile.faces.tables import decode_images, evenly_spaced
from facsimile.rejection_reasons import REASONS
from facsimile.report.gallery import gallery_rows

MIXTURES = 4
"""Number of faces with several AUs per synthetic person."""
TRANSFERS = 5
"""Number of transferred faces per person."""
DESCRIBED_PER_PROMPT = 6
REJECTED_PER_REASON = 8
REJECTED_IN_ALL = 40


def edit_sheet(
    originals: np.ndarray, decoded: Sequence[np.ndarray], edits: Sequence[tuple[str, float]]
) -> list[pa.Table]:
    """Edited faces: one row per person, one column per AU and intensity.

    Args:
        originals: uint8 (P, H, W, 3).
        decoded: for each person uint8 (1 + E, H, W, 3): the reconstruction, then each edit.
        edits: E pairs of AU and intensity.
    """
    columns = ["original", "reconstruction", *(f"{au} {s:.1f}" for au, s in edits)]
    tables = []
    for number, (original, faces) in enumerate(zip(originals, decoded, strict=True), start=1):
        shown = np.concatenate([original[None], faces])
        tables.append(gallery_rows(EDITED, [f"person {number}"] * len(shown), columns, shown))
    return tables


def some_transferred(transferred: pd.DataFrame, people: int) -> pd.DataFrame:
    """A few transferred faces of each of the first people.

    Args:
        transferred: rows with subject_id.
        people: number of people to show.
    """
    shown = transferred["subject_id"].isin(transferred["subject_id"].unique()[:people])
    by_person = transferred[shown].groupby("subject_id", sort=False)
    return pd.concat([transferred[:0], *(evenly_spaced(rows, TRANSFERS) for _, rows in by_person)])


def transfer_sheet(transferred: pd.DataFrame, source_images: pd.Series) -> list[pa.Table]:
    """Transferred faces: one row per person, each face after the annotated face it comes from.

    Args:
        transferred: rows to show (`some_transferred`) with subject_id, source_id, image and the 12
            AUs.
        source_images: sample_id → encoded image of the annotated faces.
    """
    tables = []
    for number, (_, faces) in enumerate(transferred.groupby("subject_id", sort=False), start=1):
        columns, structs, captions = [], [], []
        for n, (_, face) in enumerate(faces.iterrows(), start=1):
            columns += [f"annotated {n}", f"transferred {n}"]
            structs += [source_images.at[face["source_id"]], face["image"]]
            captions += [active_aus(face), ""]
        decoded = decode_images(pd.DataFrame({"sample_id": columns, "image": structs}))
        row = [f"person {number}"] * len(columns)
        tables.append(gallery_rows(TRANSFERRED, row, columns, decoded, captions))
    return tables


def some_synthetic(
    identities: pd.DataFrame, faces: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One identity of each gender × age group, and the faces of each to show.

    These are its faces with a single AU, and the mixtures with the most AUs.

    Args:
        identities: rows with sample_id, gender and age_group.
        faces: edits of the identities, with source_id, edited_au and the 12 AUs.
    """
    of_cells = identities.drop_duplicates(["gender", "age_group"])
    active = (faces[list(AUS)] != 0).sum(axis=1)
    shown = []
    for name in of_cells["sample_id"]:
        made = faces[faces["source_id"] == name].assign(active=active)
        several = made[made["edited_au"].isna()].sort_values("active", ascending=False)
        shown += [made.dropna(subset="edited_au"), several.head(MIXTURES)]
    return of_cells, pd.concat(shown).drop(columns="active")


def synthetic_sheet(identities: pd.DataFrame, faces: pd.DataFrame) -> list[pa.Table]:
    """Synthetic faces: one identity of each gender × age group.

    A row shows the sampled and the neutralized face, and the edits of the identity.

    Args:
        identities: rows to show (`some_synthetic`) with sample_id, gender, age_group, image and
            sampled_image.
        faces: rows to show with source_id, edited_au, image and the 12 AUs.
    """
    tables = []
    for gender, age_group in CELLS:
        in_cell = (identities["gender"] == gender) & (identities["age_group"] == age_group)
        identity = identities[in_cell].iloc[0]
        made = faces[faces["source_id"] == identity["sample_id"]]
        edits = {"one AU": made["edited_au"].notna(), "several": made["edited_au"].isna()}
        columns = [f"{name} {n + 1}" for name, rows in edits.items() for n in range(rows.sum())]
        columns = ["sampled", "neutralized", *columns]
        structs = [identity["sampled_image"], identity["image"], *made["image"]]
        images = decode_images(pd.DataFrame({"sample_id": columns, "image": structs}))
        captions = ["", "", *(active_aus(face) for _, face in made.iterrows())]
        row = [f"{gender} {age_group}"] * len(columns)
        tables.append(gallery_rows(SYNTHETIC, row, columns, images, captions))
    return tables


def some_described(faces: pd.DataFrame) -> pd.DataFrame:
    """Some faces of each prompt.

    Args:
        faces: rows with prompt.
    """
    return faces.groupby("prompt", sort=False).head(DESCRIBED_PER_PROMPT)


def described_sheet(faces: pd.DataFrame) -> list[pa.Table]:
    """Faces from descriptions: one row per prompt, captioned with their labels.

    Args:
        faces: rows to show (`some_described`) with sample_id, prompt, image and the 12 AUs.
    """
    tables = []
    for prompt, shown in faces.groupby("prompt", sort=False):
        columns = [f"person {n + 1}" for n in range(len(shown))]
        captions = [active_aus(face) for _, face in shown.iterrows()]
        row = [str(prompt)] * len(shown)
        tables.append(gallery_rows(DESCRIBED, row, columns, decode_images(shown), captions))
    return tables


def some_rejected(decisions: pd.DataFrame) -> pd.DataFrame:
    """A few rejected candidates for each reason, in the order of the table.

    Args:
        decisions: decisions of `facsimile.filtering.FaceFilter`.
    """
    rejected = decisions[~decisions["accepted"]].groupby("reason", sort=False)
    return rejected.head(REJECTED_PER_REASON).head(REJECTED_IN_ALL)


def rejection_sheet(rejected: pd.DataFrame, images: pd.Series) -> list[pa.Table]:
    """Rejected faces: one row per reason, captioned with the failing score.

    Args:
        rejected: decisions to show (`some_rejected`).
        images: sample_id → encoded image.
    """
    if rejected.empty:
        return []
    faces = images.loc[rejected["sample_id"]].rename("image").reset_index()
    number = rejected.groupby("reason").cumcount() + 1
    captions = [rejection_caption(decision) for _, decision in rejected.iterrows()]
    reasons = [REASONS[reason].label for reason in rejected["reason"]]
    columns = list(number.astype(str))
    return [gallery_rows("rejected", reasons, columns, decode_images(faces), captions)]


def active_aus(face: pd.Series) -> str:
    """``AU04 0.7, AU12 0.4``, or ``neutral``; AUs of unknown intensity are left out."""
    return ", ".join(f"{au} {face[au]:.1f}" for au in AUS if face[au] > 0) or "neutral"


def rejection_caption(decision: pd.Series) -> str:
    """The requested edit of a rejected face, and the failing score."""
    origin = ORIGINS[decision["origin"]]
    several = "expression" if origin.keeps_expression else "mixed AUs"
    what = several if pd.isna(decision["edited_au"]) else decision["edited_au"]
    why = REASONS[decision["reason"]].caption.format_map(decision)
    return f"{what}, {decision['origin']}: {why}"
