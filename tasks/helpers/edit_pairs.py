"""Source and target faces of people that no stage has seen, for measuring edits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from facsimile.editing import neutral_faces
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import decode_images, read_faces, read_rows
from facsimile.paper.edit_pairs import match_photographs
from tasks.helpers.rendered import is_rendered
from tasks.params import DatasetsParams, FidelityParams, IngestParams
from tasks.shared.artefacts import INGEST, MEASURED, neutral_aus, select_split


@dataclass(frozen=True)
class EditPairs:
    """Neutral sources, and targets of the same people.

    Attributes:
        sources: one row per person with sample_id and subject_id.
        pairs: one row per target with pair_id, source_id, subject_id, n_aus and the 12 AUs, NaN =
            unknown.
        images: decodes or renders rows of `sources` and `pairs`, uint8 (N, H, W, 3).
        single_targets: rows, for `images`, of the exact targets of edits of one AU, given their
            source_id, edited_au and s in [0, 1]; None if targets are other photographs.
    """

    sources: pd.DataFrame
    pairs: pd.DataFrame
    images: Callable[[pd.DataFrame], np.ndarray]
    single_targets: Callable[[pd.DataFrame], pd.DataFrame] | None


def read_pairs(
    datasets: DatasetsParams, ingest: IngestParams, fidelity: FidelityParams, aus: tuple[str, ...]
) -> EditPairs:
    """Rendered people with exact targets if the AU set is rendered, else its test people.

    Args:
        aus: AUs that all editors can edit.

    Raises:
        FacsimileError: no test person has both a neutral face and one that shows AUs.
    """
    if is_rendered(datasets.aus, ingest):
        return _rendered(ingest, fidelity, aus)
    return _photographed(datasets.aus, fidelity, aus)


def _rendered(ingest: IngestParams, fidelity: FidelityParams, aus: tuple[str, ...]) -> EditPairs:
    # Imported late: only rendering needs the compiled kernels and assets.
    from facsimile.paper.exact_targets import draw_targets, neutral_people, single_targets
    from facsimile.world.render import Renderer

    sources = neutral_people(MEASURED, fidelity.people, ingest.seed)
    pairs = draw_targets(
        sources, most=fidelity.most, intensity=fidelity.bounds, seed=fidelity.seed, aus=aus
    )
    renderer = Renderer(ingest.size)
    return EditPairs(
        sources,
        pairs,
        lambda rows: renderer.render(rows, ingest.seed),
        lambda edits: single_targets(sources, edits),
    )


def _photographed(dataset: str, fidelity: FidelityParams, aus: tuple[str, ...]) -> EditPairs:
    path = INGEST / dataset
    faces = read_faces(path, ["sample_id", "subject_id", "split", *AUS])
    faces = select_split(faces, "test", path)
    try:
        neutral = neutral_faces(faces, 1, neutral_aus(dataset))
    except FacsimileError as error:
        raise FacsimileError(f"{path}: split test: {error}") from error
    pairs = match_photographs(
        neutral, faces, aus=aus, most=fidelity.most, limit=fidelity.people, seed=fidelity.seed
    )
    if pairs.empty:
        raise FacsimileError(
            f"{path}: split test: no person has both a neutral face and one that shows an AU; "
            "label such faces, or move people to the test split"
        )
    sources = neutral[neutral["sample_id"].isin(pairs["source_id"])].reset_index(drop=True)
    needed = {*sources["sample_id"], *pairs["sample_id"]}
    images = read_rows(path, needed, ["sample_id", "image"]).set_index("sample_id")

    def decode(rows: pd.DataFrame) -> np.ndarray:
        return decode_images(images.loc[rows["sample_id"]].reset_index(), str(path))

    return EditPairs(sources, pairs, decode, None)
