"""The columns of a released table, and what each means."""

from facsimile.faces.aus import AU_NAMES, AUS
from facsimile.faces.origins import generated_origins
from facsimile.faces.tables import FACE_SCHEMA

RELEASE_SCHEMA = FACE_SCHEMA.remove_metadata()
"""A released face: that of a face table, so that Facsimile reads it as well.

Latent codes stay behind: they describe the people who were edited more closely than anyone needs
who trains on the pictures. Features are declared in the card, where they can be classes."""


def classes() -> dict[str, tuple[str, ...]]:
    """Text columns that `datasets` opens as ClassLabel → their values."""
    return {"origin": tuple(generated_origins()), "edited_au": AUS}


def describe_columns() -> dict[str, str]:
    """Column of ``RELEASE_SCHEMA`` → what it holds."""
    origins = (f"`{name}`: {origin.summary}" for name, origin in generated_origins().items())
    return _COLUMNS | {"origin": "; ".join(origins)}


_COLUMNS: dict[str, str] = {
    "sample_id": "unique name of the face; also in its XMP",
    "dataset": "dataset of the face it was made of, or `synthetic`",
    "subject_id": "person; that of its source, also where a face was moved towards another one",
    "split": "`train`, `val` or `test`, that of its source; no person is in two of them",
    "image": "PNG with XMP",
    **{au: f"intensity of {AU_NAMES[au]}, 0 to 1; null: not known" for au in AUS},
    "au_presence_only": "true where AUs are 0 or 1 only",
    "eyeglasses": "0 or 1, of the source; null: not annotated",
    "beard": "0 to 1, of the source; null: not annotated",
    "male": "0 is female, 1 is male; null: not annotated",
    "age": "0 is 18 years or younger, 1 is 80 or older; null: not annotated",
    "origin": "",
    "source_id": "face that it was made of",
    "edited_au": "the AU that was set; null where several or none were",
    "intensity": "intensity of `edited_au`; of a transferred face, how far it was moved, 0 to 1",
    "editor": "method that set its AUs; null where none were set",
    "editor_md5": "MD5 of the editor, as fitted, that set its AUs",
    "generator_md5": "MD5 of the weights it was decoded by",
    "seed": "of its random numbers, with its sample_id",
}
"""In the order of ``RELEASE_SCHEMA``."""
