"""Which faces the contact sheets show."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from facsimile.faces.aus import AUS
from facsimile.faces.demographics import CELLS
from facsimile.faces.tables import decode_images, image_structs
from facsimile.rejection_reasons import REASONS
from facsimile.report.gallery import GALLERY_SCHEMA
from facsimile.report.sheets import (
    MIXTURES,
    REJECTED_IN_ALL,
    REJECTED_PER_REASON,
    TRANSFERS,
    edit_sheet,
    rejection_caption,
    rejection_sheet,
    some_rejected,
    some_synthetic,
    some_transferred,
    synthetic_sheet,
    transfer_sheet,
)


def structs(count: int) -> list[dict]:
    """Encoded faces, each of one grey: its number."""
    images = np.stack([np.full((4, 4, 3), n, np.uint8) for n in range(count)])
    return list(image_structs(images, [str(n) for n in range(count)]))


def greys(sheet: pa.Table) -> list[int]:
    faces = sheet.to_pandas().rename(columns={"row": "sample_id"})
    return decode_images(faces)[:, 0, 0, 0].tolist()


def generated(count: int, **columns: object) -> pd.DataFrame:
    table = pd.DataFrame(
        {"sample_id": [f"face/{n}" for n in range(count)], "image": structs(count)}
    )
    return table.assign(**dict.fromkeys(AUS, 0.0), **columns)


def decisions(reasons: list[str | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample_id": [f"face/{n}" for n in range(len(reasons))],
            "origin": "edited",
            "edited_au": "AU12",
            "jaccard": 0.25,
            "mahalanobis": 12.34,
            "identity_distance": 0.5,
            "realism": 0.01,
            "duplicate_of": "face/9",
            "accepted": [reason is None for reason in reasons],
            "reason": reasons,
        }
    )


def test_edits_follow_original_and_reconstruction():
    originals = np.full((2, 4, 4, 3), 7, np.uint8)
    decoded = [np.full((3, 4, 4, 3), 10 * n, np.uint8) for n in range(2)]
    first, second = edit_sheet(originals, decoded, [("AU01", 0.5), ("AU12", 1.0)])
    assert first.schema.equals(GALLERY_SCHEMA)
    assert first["column"].to_pylist() == ["original", "reconstruction", "AU01 0.5", "AU12 1.0"]
    assert set(second["row"].to_pylist()) == {"person 2"}
    assert greys(second) == [7, 10, 10, 10]


def test_transfers_stand_beside_the_annotated_face():
    faces = generated(12, subject_id=["a"] * 9 + ["b"] * 2 + ["c"], source_id="real")
    faces.loc[0, "AU12"] = 0.8
    sources = pd.Series(structs(200)[99:100], index=["real"])
    first, second = transfer_sheet(some_transferred(faces, people=2), sources)
    assert greys(first) == [99, 0, 99, 2, 99, 4, 99, 6, 99, 8]  # TRANSFERS, evenly spaced
    assert len(first) == 2 * TRANSFERS
    assert greys(second) == [99, 9, 99, 10]
    assert first["caption"].to_pylist()[:4] == ["AU12 0.8", "", "neutral", ""]
    assert transfer_sheet(some_transferred(faces[:0], people=2), sources) == []


def test_each_demographic_cell_shows_one_identity():
    encoded = structs(30)
    identities = pd.DataFrame(
        {
            "sample_id": [f"person/{n}" for n in range(2 * len(CELLS))],
            "gender": [gender for gender, _ in CELLS] * 2,
            "age_group": [group for _, group in CELLS] * 2,
            "image": encoded[:1] * 2 * len(CELLS),
            "sampled_image": encoded[1:2] * 2 * len(CELLS),
        }
    )
    faces = generated(9, source_id="person/0", edited_au=[None] * 7 + ["AU04", "AU05"])
    for n in range(7):
        faces.loc[n, list(AUS[: n + 1])] = 0.5
    faces.loc[6, AUS[1]] = np.nan  # an AU that may be active is not neutral
    sheets = synthetic_sheet(*some_synthetic(identities, faces))
    assert [sheet["row"][0].as_py() for sheet in sheets] == [" ".join(cell) for cell in CELLS]
    assert greys(sheets[0]) == [1, 0, 7, 8, 6, 5, 4, 3]
    columns = sheets[0]["column"].to_pylist()
    assert columns[:4] == ["sampled", "neutralized", "one AU 1", "one AU 2"]
    assert columns[-1] == f"several {MIXTURES}"
    assert greys(sheets[1]) == [1, 0]


def test_some_faces_are_shown_for_each_reason():
    reasons = [reason for reason in REASONS for _ in range(REJECTED_PER_REASON + 2)]
    shown = some_rejected(decisions([None, *reasons]))
    counts = shown["reason"].value_counts(sort=False)
    assert counts.to_list()[:-1] == [REJECTED_PER_REASON] * (len(counts) - 1)
    assert len(shown) == REJECTED_IN_ALL


def test_rejected_faces_say_why():
    rejected = some_rejected(decisions(["identity", None, "duplicate", "identity"]))
    images = pd.Series(
        structs(4), index=pd.Index([f"face/{n}" for n in range(4)], name="sample_id")
    )
    (sheet,) = rejection_sheet(rejected, images)
    assert greys(sheet) == [0, 2, 3]
    assert sheet["row"].to_pylist() == ["identity", "duplicate", "identity"]
    assert sheet["column"].to_pylist() == ["1", "1", "2"]
    assert sheet["caption"].to_pylist()[0] == "AU12, edited: identity distance 0.50"
    assert rejection_sheet(rejected[:0], images) == []


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_caption(reason):
    face = decisions([reason]).iloc[0]
    assert rejection_caption(face).startswith("AU12, edited: ")
    transferred = face.copy()
    transferred[["origin", "edited_au"]] = "transferred", None
    assert rejection_caption(transferred).startswith("expression, transferred: ")
