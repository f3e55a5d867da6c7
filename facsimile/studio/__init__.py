"""Interactive edits of faces, behind the page of `facsimile studio`."""

from facsimile.studio.gallery import GALLERY_COLUMNS, choose_people
from facsimile.studio.page import STATIC, render_page, render_static
from facsimile.studio.recipe import (
    PictureFile,
    Recipe,
    SampledPerson,
    TableFace,
    safe_file_name,
)
from facsimile.studio.session import (
    LEVELS,
    StudioEdit,
    StudioFace,
    StudioSession,
    use_fastest_threads,
)

__all__ = [
    "GALLERY_COLUMNS",
    "LEVELS",
    "STATIC",
    "PictureFile",
    "Recipe",
    "SampledPerson",
    "StudioEdit",
    "StudioFace",
    "StudioSession",
    "TableFace",
    "choose_people",
    "render_page",
    "render_static",
    "safe_file_name",
    "use_fastest_threads",
]
