"""Accept or reject generated faces: do they show what their labels say, and nothing else?

The checks and their order are in facsimile/rejection_reasons.py. Latent scores use the re-encoded
image rather than the code it was decoded from, because the decoder may not have followed the code.
All models are fitted on training faces only. The oracle that measures the results is not used.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from facsimile.errors import FacsimileError
from facsimile.faces.annotation import presence
from facsimile.faces.aus import AUS
from facsimile.faces.picture_store import StoredPictures
from facsimile.filtering.balance import overfull
from facsimile.filtering.duplicates import near_duplicates
from facsimile.filtering.identity import IdentitySpace
from facsimile.filtering.latent import LatentDistance
from facsimile.filtering.realism import RealismRanker
from facsimile.measurement.metrics import jaccard
from facsimile.rejection_reasons import REASONS

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


@dataclass(frozen=True)
class FilterLimits:
    """Conditions for acceptance.

    Attributes:
        min_jaccard: lowest similarity of intended and read AUs; 0.5 allows one extra AU on a face
            with one labelled AU.
        realism_quantile: share of faces rejected as least realistic.
        mahalanobis_quantile: the largest accepted latent distance, as a quantile of the distances
            of held-out real faces.
        duplicate_rms: root mean square difference of thumbnails, as a share of the full range,
            below which two faces count as duplicates.
        balance_slack: largest acceptance rate of a cell (origin × AU × gender × age group) as a
            multiple of the median cell's rate.
    """

    min_jaccard: float = 0.5
    realism_quantile: float = 0.02
    mahalanobis_quantile: float = 0.99
    duplicate_rms: float = 0.01
    balance_slack: float = 1.25


@dataclass(frozen=True)
class RealFaces:
    """Real training faces of the dataset that the generated faces augment.

    Attributes:
        images: uint8 (M, H, W, 3), in memory or in a file.
        z: normalised codes (M, D).
        subjects: M subject ids.
    """

    images: np.ndarray | StoredPictures
    z: np.ndarray
    subjects: np.ndarray


@dataclass(frozen=True)
class Candidates:
    """All generated faces of a run.

    Attributes:
        rows: N rows with sample_id, subject_id, origin, edited_au, labels of the 12 AUs (null
            where unknown), male and age (nullable).
        images: uint8 (N, H, W, 3), in memory or in a file.
        z: normalised codes (N, D) of the re-encoded `images`.
        z_requested: normalised codes (N, D) of the intended person (see `requested_codes`).
        intended: AU intensities (N, 12) that the faces should show, which `detected` is compared
            with: labels, or what the prompt of a described face asks for; NaN = unknown.
        detected: AU presence (N, 12) according to a reader (see `LabelCorrector.detect`); NaN for
            AUs that it cannot read.

    Raises:
        FacsimileError: no candidates, or arrays of different lengths.
    """

    rows: pd.DataFrame
    images: np.ndarray | StoredPictures
    z: np.ndarray
    z_requested: np.ndarray
    intended: np.ndarray
    detected: np.ndarray

    def __post_init__(self) -> None:
        if self.rows.empty:
            raise FacsimileError("filter: there are no generated faces")
        for name in ("images", "z", "z_requested", "intended", "detected"):
            if len(getattr(self, name)) != len(self.rows):
                raise FacsimileError(
                    f"filter: {len(self.rows)} candidates, but {len(getattr(self, name))} {name}"
                )


class FaceFilter:
    """Judges all generated faces of a run together, so that the accepted ones are balanced.

    Args:
        limits: conditions for acceptance.
        seed: seed of the identity space, the discriminator and the balancing draw.

    Attributes:
        identity_: fitted `IdentitySpace`.
        latent_distance_: fitted `LatentDistance`.
        real_: real faces that the filter was fitted on.
    """

    def __init__(self, limits: FilterLimits = FilterLimits(), *, seed: int) -> None:
        self.limits = limits
        self.seed = seed

    def fit(self, real: RealFaces, z: np.ndarray, subjects: np.ndarray) -> Self:
        """Fit the models that score candidates.

        Args:
            real: reference for latent distance and realism.
            z, subjects: normalised codes (P, D) and P subject ids to learn identity from; should
                cover many people with several faces each.

        Raises:
            FacsimileError: too few people (see `IdentitySpace`).
        """
        self.real_ = real
        self.identity_ = IdentitySpace(seed=self.seed).fit(z, subjects)
        self.latent_distance_ = LatentDistance(self.limits.mahalanobis_quantile).fit(
            real.z, real.subjects
        )
        return self

    def predict(self, candidates: Candidates) -> pd.DataFrame:
        """Decide on every candidate.

        Returns:
            One row per candidate, in order, with ``DECISION_COLUMNS``. `reason` is the first key of
            ``REASONS`` that applies, None for accepted faces.
        """
        limits, rows = self.limits, candidates.rows
        ids = rows["sample_id"].to_numpy()
        active = presence(rows[list(AUS)].to_numpy(np.float64))
        intended = presence(candidates.intended)
        comparable = np.where(np.isnan(candidates.detected), np.nan, intended)
        similarity = jaccard(comparable, np.nan_to_num(candidates.detected))
        distance = self.latent_distance_.predict(candidates.z)
        identity_distance = self.identity_.predict(candidates.z, candidates.z_requested)
        realism = RealismRanker(seed=self.seed).fit_predict(
            self.real_.images,
            self.real_.subjects,
            candidates.images,
            rows["subject_id"].to_numpy(),
        )
        failed = {
            "au_consistency": similarity < limits.min_jaccard,
            "latent_distance": distance > self.latent_distance_.limit_,
            "identity": identity_distance > self.identity_.threshold_,
            "realism": realism <= limits.realism_quantile,
        }
        kept = ~np.any(list(failed.values()), axis=0)
        original = near_duplicates(candidates.images, active, kept, limits.duplicate_rms)
        failed["duplicate"] = original >= 0
        kept &= ~failed["duplicate"]
        failed["balance"] = overfull(rows, kept, limits.balance_slack, self.seed)

        reason = np.select([failed[name] for name in REASONS], list(REASONS), default="")
        return pd.DataFrame(
            {
                "sample_id": ids,
                "origin": rows["origin"].to_numpy(),
                "edited_au": rows["edited_au"].to_numpy(),
                "jaccard": similarity,
                "mahalanobis": distance,
                "identity_distance": identity_distance,
                "realism": realism,
                "duplicate_of": [ids[row] if row >= 0 else None for row in original],
                "accepted": reason == "",
                "reason": [text or None for text in reason],
            },
            columns=list(DECISION_COLUMNS),
        )
