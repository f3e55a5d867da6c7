"""Read the XMP of released images with Pillow, independently of the code that writes it."""

import io
from xml.etree import ElementTree

from PIL import Image

from facsimile.release.xmp import NAMESPACES


def read_packet(png: bytes) -> dict[str, str | list[str]]:
    """XMP properties of a PNG by prefixed name; empty if it has no XMP."""
    with Image.open(io.BytesIO(png)) as picture:
        text = picture.info.get("XML:com.adobe.xmp")
    if text is None:
        return {}
    (about,) = ElementTree.fromstring(text).iter(f"{{{NAMESPACES['rdf']}}}Description")
    prefixes = {uri: prefix for prefix, uri in NAMESPACES.items()}
    values = {}
    for element in about:
        uri, _, name = element.tag.removeprefix("{").partition("}")
        items = [item.text for item in element.iter(f"{{{NAMESPACES['rdf']}}}li")]
        values[f"{prefixes[uri]}:{name}"] = items if len(element) else element.text
    return values
