import numpy as np
import pandas as pd

from facsimile.faces.demographics import AGE_CUTS, CELL_NAMES, CELLS, GENDERS, cell_names
from facsimile.filtering.balance import overfull
from facsimile.inspection.page import person_groups
from facsimile.release.card_pictures import demographic_counts

BOUNDARY = pd.DataFrame(
    {
        "male": [0.5, 0.4999, 0.5, np.nan, 1.0, 0.0],
        "age": [AGE_CUTS[0], 0.3333, AGE_CUTS[1], 0.5, np.nan, 1.0],
    }
)
NAMES = ["male middle", "female young", "male old", "not annotated", "not annotated", "female old"]


def test_a_label_on_a_boundary_belongs_to_the_upper_group() -> None:
    assert list(cell_names(BOUNDARY["male"], BOUNDARY["age"])) == NAMES


def test_names_are_those_of_the_cells() -> None:
    assert len(CELLS) == 6 and CELL_NAMES[:6] == tuple(" ".join(cell) for cell in CELLS)
    assert {gender for gender, _ in CELLS} == set(GENDERS)


def test_report_and_release_agree() -> None:
    faces = BOUNDARY.assign(origin="edited", subject_id="a", source_id=None)
    assert person_groups(faces, None).to_list() == NAMES
    counts = demographic_counts(faces).set_index("cell")["faces"]
    assert counts.to_dict() == pd.Series(NAMES).value_counts().to_dict()


def test_the_filter_balances_the_same_cells() -> None:
    # All of one cell pass and none but one of the other: which cell a boundary face is in decides
    # whether one too many is kept there.
    male = [0.5, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    faces = pd.DataFrame(
        {
            "sample_id": [str(n) for n in range(8)],
            "origin": "edited",
            "edited_au": "AU01",
            "male": male,
            "age": 0.5,
        }
    )
    kept = np.array([True, True, True, True, True, False, False, False])
    rejected = overfull(faces, kept, slack=1.0, seed=0)
    plain = faces.assign(male=faces["male"].replace(0.5, 1.0))
    np.testing.assert_array_equal(rejected, overfull(plain, kept, slack=1.0, seed=0))
    assert rejected[:4].any() and not rejected[4:].any()
