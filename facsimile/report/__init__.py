"""Figures and one offline HTML report of a run."""

from facsimile.report.evidence import TABLES, Evidence
from facsimile.report.figures import demographics
from facsimile.report.gallery import GALLERY_SCHEMA, contact_sheet, gallery_rows
from facsimile.report.html import render, write_report
from facsimile.report.pictures import Picture, pictures, write_figures
from facsimile.report.style import to_png

__all__ = [
    "GALLERY_SCHEMA",
    "TABLES",
    "Evidence",
    "Picture",
    "contact_sheet",
    "demographics",
    "gallery_rows",
    "pictures",
    "render",
    "to_png",
    "write_figures",
    "write_report",
]
