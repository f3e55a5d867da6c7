"""Sign every image with a C2PA manifest, using the certificate of the publisher.

Content Credentials (c2pa.org) state who made an image and how, and prove that it is unmodified.
"""

import io
import json
from pathlib import Path

from facsimile import __version__
from facsimile.errors import FacsimileError
from facsimile.release.xmp import DIGITAL_SOURCE_TYPE

_CREATED = {"action": "c2pa.created", "digitalSourceType": DIGITAL_SOURCE_TYPE}
# A thumbnail would be larger than the face.
_SETTINGS = {"builder": {"thumbnail": {"enabled": False}}}


class Signer:
    """Signs PNG images with ES256, without a trusted time stamp, which would need network access.

    Args:
        certificate: PEM file with the certificate, then those of its issuers.
        private_key: PEM file with its P-256 key in PKCS #8, not encrypted.

    Raises:
        FacsimileError: c2pa-python is not installed, or a file is unreadable or invalid.
    """

    def __init__(self, certificate: Path, private_key: Path) -> None:
        try:
            import c2pa
        except ImportError as error:
            raise FacsimileError("signing needs c2pa-python: pip install c2pa-python") from error
        self._c2pa = c2pa
        self._source = f"{certificate} with {private_key}"
        try:
            pems = [path.read_bytes() for path in (certificate, private_key)]
        except OSError as error:
            raise FacsimileError(f"{error.filename}: not readable ({error.strerror})") from error
        try:
            info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, *pems, None)
            self._signer = c2pa.Signer.from_info(info)
            self._context = c2pa.Context.from_dict(_SETTINGS)
        except c2pa.C2paError as error:
            raise FacsimileError(f"{self._source}: cannot sign ({error})") from error

    def __call__(self, png: bytes, sample_id: str) -> bytes:
        """Add a signed manifest to an image; pixels and XMP are unchanged.

        Raises:
            FacsimileError: certificate and key do not match, or are not suitable for signing.
        """
        manifest = {
            "claim_generator_info": [{"name": "Facsimile", "version": __version__}],
            "title": sample_id,
            "format": "image/png",
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [_CREATED]}}],
        }
        signed = io.BytesIO()
        try:
            with self._c2pa.Builder(json.dumps(manifest), self._context) as builder:
                builder.sign(self._signer, "image/png", io.BytesIO(png), signed)
        except self._c2pa.C2paError as error:
            raise FacsimileError(f"{self._source}: cannot sign ({error})") from error
        return signed.getvalue()
