"""Terms of use of datasets with respect to publishing faces derived from their images.

They are a reminder, not legal advice: the terms written by the owner of a dataset apply.
"""

from dataclasses import dataclass

CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"


@dataclass(frozen=True)
class Terms:
    """Terms of use of a dataset.

    Attributes:
        summary: one-sentence summary.
        url: address of the terms or of the dataset; None if unknown.
        licence: key of `facsimile.release.LICENCES`; None if none of these.
        publishable: whether the terms are known to allow publishing faces derived from its images.
        people: whether its images show real people; None if unknown.
    """

    summary: str
    url: str | None
    licence: str | None
    publishable: bool
    people: bool | None


RENDERED = Terms(
    "rendered by Facsimile from MakeHuman assets, which are CC0 1.0; no photograph of a person",
    CC0,
    licence="cc0-1.0",
    publishable=True,
    people=False,
)
"""Terms of built-in datasets."""

OWN = Terms(
    "data of the publisher of this release; terms unknown to Facsimile",
    None,
    licence=None,
    publishable=False,
    people=None,
)
"""Terms of files whose layout does not identify the dataset."""


def agreement(summary: str, url: str) -> Terms:
    """Terms of a dataset of real people that is shared under an agreement."""
    return Terms(summary, url, licence=None, publishable=False, people=True)
