"""The columns of a released table and their meaning."""

from facsimile.faces.aus import AU_NAMES, AUS
from facsimile.faces.origins import generated_origins
from facsimile.faces.tables import FACE_SCHEMA

RELEASE_SCHEMA = FACE_SCHEMA.remove_metadata()
"""Schema of a released face. It equals the face schema, so Facsimile can read a release.

Latent codes are omitted: they describe the edited people in more detail than training on images
needs. The card declares the features, because it supports class labels."""


def classes() -> dict[str, tuple[str, ...]]:
    """Text columns that `datasets` loads as ClassLabel → their values."""
    return {"origin": tuple(generated_origins()), "edited_au": AUS}


def describe_columns() -> dict[str, str]:
    """Column of ``RELEASE_SCHEMA`` → description."""
    origins = (f"`{name}`: {origin.summary}" for name, origin in generated_origins().items())
    return _COLUMNS | {"origin": "; ".join(origins)}


_COLUMNS: dict[str, str] = {
    "sample_id": "unique id of the face; also in its XMP",
    "dataset": "dataset of the source face, or `synthetic`",
    "subject_id": "person in the source face, also if the face was moved towards another person",
    "split": "`train`, `val` or `test`, same as the source face; no person is in two splits",
    "image": "PNG with XMP",
    **{au: f"intensity of {AU_NAMES[au]}, 0 to 1; null: unknown" for au in AUS},
    "au_presence_only": "true if AUs are only 0 or 1",
    "eyeglasses": "0 or 1, from the source; null: not annotated",
    "beard": "0 to 1, from the source; null: not annotated",
    "male": "0 is female, 1 is male; null: not annotated",
    "age": "0 is 18 years or younger, 1 is 80 or older; null: not annotated",
    "origin": "",
    "source_id": "sample_id of the source face",
    "edited_au": "the AU that was set; null if several or none were",
    "intensity": "intensity of `edited_au`; for a transferred face, how far it was moved, 0 to 1",
    "editor": "method that set the AUs; null if none were set",
    "editor_md5": "MD5 of the fitted editor that set the AUs",
    "generator_md5": "MD5 of the generator weights that decoded the face",
    "seed": "random seed, used together with the sample_id",
}
"""In the order of ``RELEASE_SCHEMA``."""
