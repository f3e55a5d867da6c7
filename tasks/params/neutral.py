"""Section `neutral`: selection of unannotated neutral faces."""

from pydantic import NonNegativeInt, PositiveInt

from tasks.params.section import Section


class NeutralParams(Section):
    """Neutral faces of the attribute set: at most `faces` in total and `per_subject` per person."""

    faces: NonNegativeInt
    per_subject: PositiveInt
