"""Publish generated faces as a dataset: Parquet shards, card, Croissant file, marked images.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", V-B: "future data
releases should include safeguards such as restricted access and intended-use statements".
"""

from facsimile.release.facts import (
    LICENCES,
    Licence,
    Release,
    SourceDataset,
    StageFacts,
    find_licence,
)
from facsimile.release.folder import write_release
from facsimile.release.signing import Signer
from facsimile.release.xmp import DIGITAL_SOURCE_TYPE, embed, packet

__all__ = [
    "DIGITAL_SOURCE_TYPE",
    "LICENCES",
    "Licence",
    "Release",
    "Signer",
    "SourceDataset",
    "StageFacts",
    "embed",
    "find_licence",
    "packet",
    "write_release",
]
