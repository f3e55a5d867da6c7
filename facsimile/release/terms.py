"""The terms that datasets come under, as far as faces made of their pictures may be published.

They are a reminder, not legal advice: what counts is what the owner of a dataset wrote.
"""

from dataclasses import dataclass

CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"


@dataclass(frozen=True)
class Terms:
    """Terms of a dataset.

    Attributes:
        summary: what they are, in one sentence.
        url: where they are, or where the dataset is; None where that is not known.
        licence: key of `facsimile.release.LICENCES`; None where it is none of these.
        publishable: whether they are known to let anyone publish faces made of its pictures.
        people: whether its pictures show people who exist; None where that is not known.
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
"""Of built-in datasets."""

OWN = Terms(
    "data of whoever made this release, whose terms Facsimile does not know",
    None,
    licence=None,
    publishable=False,
    people=None,
)
"""Of files whose layout does not tell what they are."""


def _agreement(summary: str, url: str) -> Terms:
    return Terms(summary, url, licence=None, publishable=False, people=True)


TERMS: dict[str, Terms] = {
    "table": OWN,
    "parquet": OWN,
    "disfa": _agreement(
        "a signed agreement with the University of Denver, for research only",
        "http://mohammadmahoor.com/disfa/",
    ),
    "disfa-plus": _agreement(
        "a signed agreement with the University of Denver, for research only",
        "http://mohammadmahoor.com/disfa-2/",
    ),
    "bp4d": _agreement(
        "a signed agreement with Binghamton University, for research only",
        "https://www.cs.binghamton.edu/~lijun/Research/3DFE/3DFE_Analysis.html",
    ),
    "feafa": _agreement(
        "an agreement with the University of Chinese Academy of Sciences, for research only",
        "https://www.iiplab.net/feafa+",
    ),
    "celeba": _agreement(
        "non-commercial research only, and no part of it may be copied, published or distributed",
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    ),
    "ffhq": Terms(
        "CC BY-NC-SA 4.0; each photograph comes under a licence of its own, which asks for credit",
        "https://github.com/NVlabs/ffhq-dataset",
        licence="cc-by-nc-sa-4.0",
        publishable=True,
        people=True,
    ),
}
"""Key of `facsimile.datasets.ADAPTERS` → terms of the dataset that comes in that layout."""
