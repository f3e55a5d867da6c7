"""Reasons for which the filter rejects generated faces, with the texts that explain them.

A separate module, so that the report and the inspection page can show the reasons without depending
on the code of the filter.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class RejectionReason:
    """One check of the filter.

    Attributes:
        label: display name.
        explanation: why a face fails the check.
        caption: caption of rejected faces, a format string over the columns of the decisions.
        score: column of the decisions that the check compares with its limit, if any.
        score_label: display name of the score.
    """

    label: str
    explanation: str
    caption: str
    score: str | None = None
    score_label: str = ""


REASONS: dict[str, RejectionReason] = {
    "au_consistency": RejectionReason(
        "AU consistency",
        "The active AUs read from the face differ too much from those in its label.",
        "AU similarity {jaccard:.2f}",
        score="jaccard",  # of labelled and read AUs
        score_label="AU similarity",
    ),
    "latent_distance": RejectionReason(
        "latent distance",
        "The re-encoded code of the face is too far from the codes of real faces.",
        "Mahalanobis distance {mahalanobis:.1f}",
        score="mahalanobis",
        score_label="Mahalanobis distance",
    ),
    "identity": RejectionReason(
        "identity",
        "The face is too far from the requested person in a space that separates people.",
        "identity distance {identity_distance:.2f}",
        score="identity_distance",
        score_label="identity distance",
    ),
    "realism": RejectionReason(
        "realism",
        "A discriminator of real and generated faces ranks the face among the least real ones.",
        "realism {realism:.2f}",
        score="realism",
        score_label="realism",
    ),
    "duplicate": RejectionReason(
        "duplicate",
        "The face is a near-duplicate of an accepted face with the same active AUs.",
        "near duplicate of {duplicate_of}",
        score="duplicate_of",
        score_label="near duplicate of",
    ),
    "balance": RejectionReason(
        "balance",
        "Too many faces of this origin, AU, gender and age group passed all other checks.",
        "too many of this group",
    ),
}
"""Key in the decisions → reason, in the order of the checks. The first failed check counts."""
