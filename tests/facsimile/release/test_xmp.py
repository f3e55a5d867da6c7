"""The mark in an image can be read by others, and leaves its pixels alone."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from facsimile.errors import FacsimileError
from facsimile.faces.tables import encode_png
from facsimile.release import DIGITAL_SOURCE_TYPE, embed, packet
from tests.support.xmp import read_packet

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
LICENCE = "https://creativecommons.org/publicdomain/zero/1.0/"
LINEAGE = {"SourceID": "ä/<b>&", "Edit": ["AU04 0.5", "AU12 1.0"]}


@pytest.fixture(scope="module")
def marked() -> bytes:
    return embed(encode_png(PIXELS), packet("a/0", LICENCE, LINEAGE))


def test_written_xmp_is_read_again(marked: bytes) -> None:
    values = read_packet(marked)
    assert values["Iptc4xmpExt:DigitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert DIGITAL_SOURCE_TYPE.endswith("/trainedAlgorithmicMedia")
    assert values["dc:identifier"] == "a/0"
    assert values["xmpRights:WebStatement"] == LICENCE
    assert values["facsimile:SourceID"] == LINEAGE["SourceID"]
    assert values["facsimile:Edit"] == LINEAGE["Edit"]


def test_pixels_stay_and_pillow_finds_the_packet(marked: bytes) -> None:
    with Image.open(io.BytesIO(marked)) as picture:
        picture.verify()
    with Image.open(io.BytesIO(marked)) as picture:
        assert np.array_equal(np.asarray(picture), PIXELS)
        assert DIGITAL_SOURCE_TYPE in picture.info["XML:com.adobe.xmp"]


def test_all_other_bytes_stay(marked: bytes) -> None:
    plain = encode_png(PIXELS)
    text = packet("a/0", LICENCE, LINEAGE).encode()
    assert len(marked) == len(plain) + len(text) + 12 + len("XML:com.adobe.xmp") + 5
    assert marked.endswith(plain[33:]) and marked.startswith(plain[:33])


def test_older_xmp_is_replaced(marked: bytes) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", "<old/>")
    notes.add_text("Title", "kept")
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG", pnginfo=notes)
    again = embed(buffer.getvalue(), packet("b/1", LICENCE, {}))
    assert b"<old/>" not in again and b"kept" in again
    assert read_packet(again)["dc:identifier"] == "b/1"


def test_an_image_without_xmp_has_none() -> None:
    assert read_packet(encode_png(PIXELS)) == {}


@pytest.mark.parametrize("content", [b"", b"JFIF", encode_png(PIXELS)[:60]])
def test_a_file_that_is_no_png_is_refused(content: bytes) -> None:
    with pytest.raises(FacsimileError, match="PNG"):
        embed(content, "x")


def test_characters_that_xml_cannot_hold_are_refused() -> None:
    with pytest.raises(FacsimileError, match=r"'a\\x01b': XMP cannot represent the char.* '\\x01'"):
        packet("a\x01b", LICENCE, {})


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
def test_exiftool_reads_it(marked: bytes, tmp_path: Path) -> None:
    (tmp_path / "face.png").write_bytes(marked)
    command = ["exiftool", "-s", "-XMP:all", "face.png"]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    values = dict(line.split(":", 1) for line in output.splitlines())
    values = {name.strip(): value.strip() for name, value in values.items()}
    assert values["DigitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert values["Identifier"] == "a/0"
    assert values["Edit"] == "AU04 0.5, AU12 1.0"
