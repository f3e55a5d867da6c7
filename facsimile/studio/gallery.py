"""The faces to begin with: people held out from all stages, at rest and with an expression."""

import pandas as pd

from facsimile.faces.aus import AUS
from facsimile.faces.tables import evenly_spaced

AT_REST, EXPRESSIVE = "at rest", "expressive"

GALLERY_COLUMNS = ("sample_id", "subject_id", "split", *AUS)
"""Columns that `choose_people` reads."""


def choose_people(faces: pd.DataFrame, people: int) -> pd.DataFrame:
    """Two faces of each person of the split ``test``: the least and the most active one.

    Args:
        faces: rows with ``GALLERY_COLUMNS``; AUs that are not annotated count as absent.
        people: maximum number of people, evenly spaced over all.

    Returns:
        ``sample_id``, ``subject_id`` and ``kind``, ``AT_REST`` or ``EXPRESSIVE``. A person with one
        face has one row.
    """
    test = faces[faces["split"] == "test"].sort_values("sample_id")
    activity = test[list(AUS)].astype(float).fillna(0).sum(axis=1)
    ranked = test.assign(activity=activity).sort_values("activity", kind="stable")
    groups = ranked.groupby("subject_id")
    rest = groups.head(1).sort_values("subject_id").assign(kind=AT_REST)
    chosen = evenly_spaced(rest, people)
    strongest = groups.tail(1).sort_values("subject_id").assign(kind=EXPRESSIVE)
    strongest = strongest[
        strongest["subject_id"].isin(chosen["subject_id"])
        & ~strongest["sample_id"].isin(chosen["sample_id"])
    ]
    both = pd.concat([chosen, strongest], ignore_index=True)
    return both[["sample_id", "subject_id", "kind"]]
