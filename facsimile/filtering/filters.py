"""Accept or reject generated faces: do they show what their labels say, and nothing else?

Every check has a score and a limit; a face is rejected for the first one it fails:

    au_consistency   Jaccard similarity of the active AUs by the label and those read from the face
    latent_distance  Mahalanobis distance of its re-encoded code from the codes of real faces
    identity         distance to the unedited face in a space that tells people apart
    realism          rank by a discriminator of real and generated faces
    duplicate        a face like one accepted before, with the same active AUs
    balance          more accepted than the rest of its AU × gender × age group design allows

Scores come from the re-encoded image, not from the code it was decoded from: the decoder may not
have followed. All models are fitted on training faces only; the estimator that measures results
has no part in choosing them.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import NearestNeighbors

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AGE_GROUPS, AUS
from facsimile.filtering.identity import IdentitySpace
from facsimile.filtering.realism import realism_ranks
from facsimile.measurement.metrics import jaccard, presence
from facsimile.seeding import sample_rng

REASONS = (
    "au_consistency",
    "latent_distance",
    "identity",
    "realism",
    "duplicate",
    "balance",
)
DECISION_COLUMNS = (
    "sample_id",
    "origin",
    "edited_au",
    "jaccard",
    "mahalanobis",
    "identity_distance",
    "realism",
    "duplicate_of",
    "accepted",
    "reason",
)
THUMBNAIL = 16


@dataclass(frozen=True)
class FilterLimits:
    """What a face must reach to be accepted.

    Attributes:
        min_jaccard: similarity of labelled and read AUs; 0.5 allows one more AU than labelled.
        realism_quantile: share of the faces, ranked last by realism, that is rejected.
        mahalanobis_quantile: quantile of the real faces' own distances that none may exceed.
        duplicate_rms: root mean square difference of thumbnails, as a share of the full range,
            below which two faces are the same.
        balance_slack: how much higher the acceptance rate of a cell (origin × AU × gender × age
            group) may be than the median cell's.
    """

    min_jaccard: float = 0.5
    realism_quantile: float = 0.02
    mahalanobis_quantile: float = 0.99
    duplicate_rms: float = 0.01
    balance_slack: float = 1.25


def filter_faces(
    candidates: pd.DataFrame,
    images: np.ndarray,
    z: np.ndarray,
    z_source: np.ndarray,
    *,
    real_images: np.ndarray,
    real_z: np.ndarray,
    real_subjects: np.ndarray,
    detected: np.ndarray,
    identity: IdentitySpace,
    limits: FilterLimits = FilterLimits(),
    seed: int,
) -> pd.DataFrame:
    """Judge all generated faces of a run together.

    Args:
        candidates: N rows with sample_id, subject_id, origin, edited_au, the 12 AUs that are to be
            their labels (null where unknown: such AUs may be active or not), male and age
            (nullable).
        images: uint8 (N, H, W, 3).
        z: normalised codes (N, D) of `images`, encoded again.
        z_source: normalised codes (N, D) of the neutral face that each was made of.
        real_images, real_z, real_subjects: uint8 (M, H, W, 3), (M, D) and M ids of real training
            faces, of the kind that the generated ones stand beside.
        detected: presence (N, 12) of the AUs on the faces, as an estimator fitted on the training
            split sees it; NaN for AUs that it cannot tell.
        identity: fitted on training people.
        limits: what is acceptable.
        seed: of the discriminator, and of which faces leave an overfull cell.

    Returns:
        One row a candidate, in their order, with ``DECISION_COLUMNS``; `reason` is the first of
        ``REASONS`` that applies, None for accepted faces.

    Raises:
        FacsimileError: no candidates, or arguments of different lengths.
    """
    _check_lengths(candidates, images=images, z=z, z_source=z_source, detected=detected)
    ids = candidates["sample_id"].to_numpy()
    active = presence(candidates[list(AUS)].to_numpy(np.float64))
    judged = np.where(np.isnan(detected), np.nan, active)
    similarity = jaccard(judged, np.nan_to_num(detected))
    distance, limit = latent_distances(real_z, real_subjects, z, limits.mahalanobis_quantile)
    drift = identity.distance(z, z_source)
    realism = realism_ranks(
        real_images,
        real_subjects,
        images,
        candidates["subject_id"].to_numpy(),
        seed=seed,
    )
    failed = {
        "au_consistency": similarity < limits.min_jaccard,
        "latent_distance": distance > limit,
        "identity": drift > identity.threshold,
        "realism": realism <= limits.realism_quantile,
    }
    kept = ~np.any(list(failed.values()), axis=0)
    original = near_duplicates(images, active, kept, limits.duplicate_rms)
    failed["duplicate"] = original >= 0
    kept &= ~failed["duplicate"]
    failed["balance"] = overfull(candidates, kept, limits.balance_slack, seed)

    reason = np.select([failed[name] for name in REASONS], REASONS, default="")
    return pd.DataFrame(
        {
            "sample_id": ids,
            "origin": candidates["origin"].to_numpy(),
            "edited_au": candidates["edited_au"].to_numpy(),
            "jaccard": similarity,
            "mahalanobis": distance,
            "identity_distance": drift,
            "realism": realism,
            "duplicate_of": [ids[row] if row >= 0 else None for row in original],
            "accepted": reason == "",
            "reason": [text or None for text in reason],
        },
        columns=list(DECISION_COLUMNS),
    )


def latent_distances(
    real_z: np.ndarray, real_subjects: np.ndarray, z: np.ndarray, quantile: float
) -> tuple[np.ndarray, float]:
    """Mahalanobis distances (N,) of codes from those of real faces, and the limit.

    The covariance is shrunk as Ledoit and Wolf (2004) do. The limit is a quantile of the real
    faces' distances, each measured by a model that has not seen that person: distances of faces
    that a model was fitted on are too small to compare others with.

    Args:
        real_z, real_subjects: codes (M, D) of real faces, and whose they are.
        z: codes (N, D).
        quantile: of the real distances, in [0, 1].
    """
    real_z, z = np.asarray(real_z, np.float64), np.asarray(z, np.float64)
    unseen = np.empty(len(real_z))
    folds = min(5, len(np.unique(real_subjects)))
    for train, test in GroupKFold(folds).split(real_z, groups=real_subjects):
        unseen[test] = LedoitWolf().fit(real_z[train]).mahalanobis(real_z[test])
    distances = np.sqrt(LedoitWolf().fit(real_z).mahalanobis(z))
    return distances, float(np.sqrt(np.quantile(unseen, quantile)))


def near_duplicates(
    images: np.ndarray, active: np.ndarray, kept: np.ndarray, rms: float
) -> np.ndarray:
    """For each face the row of an earlier one that it repeats, -1 for none, (N,).

    Faces with different active AUs are no duplicates, however alike: their labels differ.

    Args:
        images: uint8 (N, H, W, 3).
        active: presence (N, 12) of the AUs, NaN where unknown.
        kept: (N,) bool, faces that are still in play.
        rms: root mean square difference of thumbnails, as a share of the full range.
    """
    original = np.full(len(images), -1)
    kept_rows = np.flatnonzero(kept)
    known = np.nan_to_num(active[kept_rows], nan=-1)
    _, group = np.unique(known, axis=0, return_inverse=True)
    for number in range(group.max(initial=-1) + 1):
        rows = kept_rows[group == number]
        thumbnails = _thumbnails(images[rows])
        radius = rms * np.sqrt(thumbnails.shape[1])
        search = NearestNeighbors(radius=radius).fit(thumbnails)
        for row, near in enumerate(search.radius_neighbors(thumbnails, return_distance=False)):
            earlier = near[(near < row) & (original[rows[near]] < 0)]
            if earlier.size:
                original[rows[row]] = rows[earlier.min()]
    return original


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """Area means (N, THUMBNAIL² · 3) of uint8 images, in [0, 1]."""
    size = images.shape[1] - images.shape[1] % THUMBNAIL
    step = size // THUMBNAIL
    blocks = images[:, :size, :size].reshape(-1, THUMBNAIL, step, THUMBNAIL, step, 3)
    return blocks.mean((2, 4), dtype=np.float32).reshape(len(images), -1) / 255


def overfull(candidates: pd.DataFrame, kept: np.ndarray, slack: float, seed: int) -> np.ndarray:
    """Faces (N,) to reject so that what was planned in balance stays in balance.

    Some AUs and people pass the checks more easily than others. Of a cell (AU × gender × age group
    of one origin; mixed faces count as one more AU) no more is kept than `slack` times the origin's
    median acceptance rate allows, so unequal rates do not become unequal data. Which faces leave is
    drawn by sample_id.

    Args:
        candidates: rows with sample_id, origin, edited_au, male and age.
        kept: (N,) bool, faces that passed all checks.
        slack: at least 1.
        seed: of the draw.
    """
    age_group = np.floor(candidates["age"].to_numpy(float) * len(AGE_GROUPS))
    faces = pd.DataFrame(
        {
            "origin": candidates["origin"].to_numpy(),
            "edited_au": candidates["edited_au"].to_numpy(),
            "male": candidates["male"].to_numpy(float).round(),
            "age_group": np.minimum(age_group, len(AGE_GROUPS) - 1),
        }
    )
    cell = faces.groupby(list(faces.columns), dropna=False).ngroup()
    faces["kept"] = kept
    cells = faces.groupby(cell).agg(
        origin=("origin", "first"), planned=("kept", "size"), kept=("kept", "sum")
    )
    # Cells in which nothing passed say nothing about how many of the others are too many.
    rate = (cells["kept"] / cells["planned"]).where(cells["kept"] > 0)
    usual = rate.groupby(cells["origin"]).transform("median")
    limit = np.ceil(slack * usual * cells["planned"] - 1e-9)

    draw = pd.Series([sample_rng(seed, name).random() for name in candidates["sample_id"]])
    place = draw.where(faces["kept"]).groupby(cell).rank()
    return (place > cell.map(limit)).to_numpy()


def _check_lengths(candidates: pd.DataFrame, **arrays: np.ndarray) -> None:
    if candidates.empty:
        raise FacsimileError("filter: there are no generated faces to judge")
    for name, array in arrays.items():
        if len(array) != len(candidates):
            raise FacsimileError(f"filter: {len(candidates)} candidates, but {len(array)} {name}")
