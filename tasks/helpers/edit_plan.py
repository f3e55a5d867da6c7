"""Plan edits of annotated and unannotated neutral faces."""

from collections.abc import Sequence

import pandas as pd

from facsimile.editing import plan_edits
from tasks.params import EditParams
from tasks.shared.artefacts import unannotated_ids


def plan_real_edits(sources: pd.DataFrame, edit: EditParams, aus: Sequence[str]) -> pd.DataFrame:
    """Plan edits as params `edit` says; see `facsimile.editing.plan_edits`.

    Args:
        sources: faces that `encode` and `neutral` selected.
        edit: counts and intensities.
        aus: AUs that the editor can edit; others are left out.
    """
    unannotated = sources["sample_id"].isin(unannotated_ids())
    known = tuple(au for au in edit.aus if au in aus)
    plans = [
        plan_edits(faces, **edit.variants(annotated=not unknown) | {"aus": known})
        for unknown, faces in sources.groupby(unannotated)
    ]
    return pd.concat(plans, ignore_index=True)
