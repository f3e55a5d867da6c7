"""Section `population`: further people of the embedded world, for `facsimile paper`."""

from pydantic import PositiveInt

from tasks.params.section import Section


class PopulationParams(Section):
    """Further people, drawn with the seed of `ingest`; they differ from those of all datasets.

    Attributes:
        faces_each: faces of each of the people that all figures are repeated on.
        balanced: faces whose AUs do not co-occur, to compare generated faces with.
        unlabelled: faces to pretrain on.
    """

    faces_each: PositiveInt
    balanced: PositiveInt
    unlabelled: PositiveInt
