"""Identity-matched pairs of photographs: a neutral face, and the same person with active AUs.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV-D: the source is
edited towards the AUs of the target, and compared with it.
"""

import numpy as np
import pandas as pd

from facsimile.faces.annotation import presence
from facsimile.faces.aus import AUS
from facsimile.seeding import sample_rng


def match_photographs(
    sources: pd.DataFrame,
    faces: pd.DataFrame,
    *,
    aus: tuple[str, ...],
    most: int,
    limit: int,
    seed: int,
) -> pd.DataFrame:
    """Choose targets among the other faces of the people in `sources`.

    Args:
        sources: neutral faces, one per person, with sample_id and subject_id.
        faces: faces with sample_id, subject_id and the 12 AUs. Those annotated for all of `aus`
            may become targets.
        aus: AUs that can be edited.
        most: largest number of active AUs.
        limit: maximum number of targets for each number of active AUs, as evenly over people as
            there are faces.
        seed: seed of the choice, which also depends on the ids.

    Returns:
        Rows of `faces` with ``n_aus`` (1 … `most`), ``pair_id`` and ``source_id``, sorted by
        source; empty if no person shows an AU.
    """
    active = presence(faces[list(aus)]).sum(axis=1)  # NaN if an AU is not annotated
    rows = faces.assign(n_aus=active).query("1 <= n_aus <= @most")
    rows = rows.merge(
        sources[["subject_id", "sample_id"]].rename(columns={"sample_id": "source_id"}),
        on="subject_id",
    )
    rows["n_aus"] = rows["n_aus"].astype(int)
    draw = [sample_rng(seed, f"{name}/pair").random() for name in rows["sample_id"]]
    rows = rows.assign(draw=np.array(draw, float)).sort_values("draw")
    # First a face of every person, then a second one of those who have it, and so on.
    rows["turn"] = rows.groupby(["n_aus", "subject_id"]).cumcount()
    rows = rows.sort_values(["turn", "draw"]).groupby("n_aus").head(limit)
    rows["pair_id"] = rows["source_id"] + ">" + rows["sample_id"]
    rows = rows.sort_values(["source_id", "n_aus", "draw"]).drop(columns=["draw", "turn"])
    others = {au: np.float32(np.nan) for au in AUS if au not in aus}
    return rows.assign(**others).reset_index(drop=True)
