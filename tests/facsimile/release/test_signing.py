"""Signed images: the manifest can be read, and vouches for what it should."""

import io
from collections.abc import Callable
from pathlib import Path

import c2pa
import numpy as np
import pytest
from PIL import Image

from facsimile.errors import FacsimileError
from facsimile.faces.tables import decode_images, encode_png, read_table
from facsimile.release import DIGITAL_SOURCE_TYPE, Signer, embed, packet
from tests.support.xmp import read_packet

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)


def test_a_signed_image_records_how_it_was_made(certificate: tuple[Path, Path]) -> None:
    marked = embed(encode_png(PIXELS), packet("a/0", "https://example.org", {}))
    signed = Signer(*certificate)(marked, "a/0")
    with c2pa.Reader("image/png", io.BytesIO(signed)) as reader:
        assert reader.get_validation_state() == "Valid"
        manifest = reader.get_active_manifest()
    assert manifest["title"] == "a/0"
    assert manifest["signature_info"]["common_name"] == "publisher"
    (action,) = manifest["assertions"][0]["data"]["actions"]
    assert action == {"action": "c2pa.created", "digitalSourceType": DIGITAL_SOURCE_TYPE}
    assert read_packet(signed) == read_packet(marked)
    with Image.open(io.BytesIO(signed)) as picture:
        assert np.array_equal(np.asarray(picture), PIXELS)


def test_a_changed_image_is_no_longer_valid(certificate: tuple[Path, Path]) -> None:
    signed = Signer(*certificate)(encode_png(PIXELS), "a/0")
    changed = embed(signed, packet("b/1", "https://example.org", {}))
    with c2pa.Reader("image/png", io.BytesIO(changed)) as reader:
        assert reader.get_validation_state() == "Invalid"


def test_all_images_of_a_release_are_signed(
    write: Callable[..., Path], certificate: tuple[Path, Path], tmp_path: Path, faces
) -> None:
    out = write(tmp_path / "signed", signer=Signer(*certificate))
    images = [
        struct["bytes"]
        for path in (out / "data").iterdir()
        for struct in read_table(path, ["image"])["image"]
    ]
    images.append((out / "figures" / "faces.png").read_bytes())
    assert len(images) == len(faces) + 1
    for image in images[::8] + images[-1:]:
        with c2pa.Reader("image/png", io.BytesIO(image)) as reader:
            assert reader.get_validation_state() == "Valid"
    table = read_table(out / "data" / "train-00000-of-00001.parquet").set_index("sample_id")
    source = faces.set_index("sample_id").loc[table.index]
    assert np.array_equal(decode_images(table.reset_index()), decode_images(source.reset_index()))
    assert "C2PA manifest" in (out / "README.md").read_text()


@pytest.mark.parametrize("name", ["chain.pem", "key.pem"])
def test_a_missing_file_is_named(certificate: tuple[Path, Path], name: str) -> None:
    paths = [path if path.name != name else path.with_name("none.pem") for path in certificate]
    with pytest.raises(FacsimileError, match=r"none\.pem: not readable"):
        Signer(*paths)


def test_a_file_that_is_no_certificate_is_refused(certificate: tuple[Path, Path]) -> None:
    _, key = certificate
    with pytest.raises(FacsimileError, match="cannot sign"):
        Signer(key, key)(encode_png(PIXELS), "a/0")


def test_a_key_of_another_certificate_leaves_nothing_behind(
    write: Callable[..., Path], certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    chain, key = certificate
    with pytest.raises(FacsimileError, match=r"chain\.pem with .*other\.pem: cannot sign"):
        write(tmp_path / "signed", signer=Signer(chain, key.with_name("other.pem")))
    assert not list(tmp_path.iterdir())
