"""The page of `facsimile studio`: one HTML file, its style and its script, without frameworks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facsimile.report.html import environment

_FOLDER = Path(__file__).parent
STATIC = {"/studio.css": "text/css", "/studio.js": "text/javascript"}
"""Path of each file besides the page → its media type."""


def render_page(data: Mapping[str, Any]) -> str:
    """The page as HTML text.

    Args:
        data: what the script reads: ``faces``, ``editors``, ``method``, ``aus``, ``levels``,
            ``threshold``, ``genders``, ``age_groups``, ``sampling``, ``crop``,
            ``notes``, ``unfitted``.
    """
    return environment(_FOLDER).get_template("studio.html").render(data=data)


def render_static(path: str) -> str:
    """Text of a key of ``STATIC``."""
    return environment(_FOLDER).get_template(path.removeprefix("/")).render()
