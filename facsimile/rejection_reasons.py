"""Why the filter rejects generated faces: every reason with the texts that explain it.

A module of its own, because the report and the inspection page show the reasons without depending
on the code of the filter.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class RejectionReason:
    """One check of the filter.

    Attributes:
        label: name for readers.
        explanation: what is wrong with a face that fails the check.
        caption: format string over the filter's decisions; what a rejected face is captioned with.
        score: column of the decisions that the check compares with its limit, if any.
        score_label: name of the score for readers.
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
"""Key in the decisions → reason. A face is rejected for the first check it fails, in this order."""
