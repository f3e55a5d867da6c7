"""Section `neutral`: how many unannotated faces are chosen."""

from pydantic import NonNegativeInt, PositiveInt

from tasks.params.section import Section


class NeutralParams(Section):
    """Neutral faces of the attribute set: at most `faces` in all and `per_subject` per person."""

    faces: NonNegativeInt
    per_subject: PositiveInt
