"""The report of `facsimile paper`: one HTML file with a section per claim."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from facsimile import __version__
from facsimile.faces.aus import AU_NAMES
from facsimile.faces.tables import atomic_file
from facsimile.paper import figures
from facsimile.paper.claims import CLAIMS
from facsimile.paper.edit_findings import NAMES
from facsimile.paper.tables import TABLES
from facsimile.report.html import Block, blocks, environment, inline_figure
from facsimile.report.style import to_png
from facsimile.result_table import Table

TEMPLATE = "paper.html"

Values = Mapping[str, Any]


CAPTIONS = {
    "occurrence": "Training faces on which each AU is active.",
    "correlation": "Orange: positive, blue: negative. In the corner: mean absolute value.",
    "detection": "Each dot is one detector. At each length, both arms take the same number of "
    "steps of the same number of faces; the best length is chosen on validation people.",
    "learning_curve": "Dots: real faces alone, mean and standard error over seeds, with the power "
    "law fitted to them. Green: with generated faces. Grey: with as many exactly labelled faces of "
    "further people in place of the generated ones, dashed with AUs as in the training set, dotted "
    "with independent AUs.",
    "pair_fpr": "How often the AU of the row is falsely detected on faces that show the AU of the "
    "column. Green: fewer with generated faces.",
    "fidelity": "Left: difference of the oracle's readings of the edited and of the target "
    "picture. Right: cosine distance of identity embeddings; the dashed line is the distance "
    "from which the oracle sees two people. Below: some pairs, and all AUs of one person.",
    "strategies": "Each dot is one detector.",
    "disentanglement": "Row: AU edited by 1. Column: mean absolute change, over faces, of the AU "
    "or attribute (attributes in standard deviations over people).",
    "ablation": "Dot: mean over seeds. Line: 95 % interval over people and seeds. From the top: as "
    "published, then one addition after the other, then single kinds of faces.",
    "linearity": "Solid: the edited AU. Dotted: mean absolute change of the others.",
    "amount": "Mean and standard error over seeds; all arms take the same number of steps.",
    "groups": "Mean F1 within each gender × age group.",
}
"""Section → how to read its figure."""


@dataclass(frozen=True)
class Section:
    """One section of the page: the fields of `Claim`, and what was measured."""

    name: str
    title: str
    source: str
    paper: str
    finding: str
    figure: dict[str, Any] | None
    table: Table | None
    sheets: list[list[Block]]


def write_paper_report(results: Values, examples: pd.DataFrame, folder: Path) -> None:
    """Write report.html, and figures/<section>.png.

    Args:
        results: content of results.json.
        examples: edited faces in ``GALLERY_SCHEMA``, shown in section `fidelity`.
        folder: folder to write to.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    named = examples.replace({"column": NAMES, "row": NAMES})
    sheets = [blocks(sheet) for _, sheet in named.groupby("sheet", sort=False)]
    sections = []
    for name, values in results["sections"].items():
        claim = CLAIMS[name]
        sections.append(
            Section(
                name,
                claim.title,
                claim.source,
                claim.paper,
                values["finding"],
                _draw(name, values, folder / "figures") if name in CAPTIONS else None,
                TABLES[name](values) if name in TABLES else None,
                sheets if name == "fidelity" else [],
            )
        )
    others = [
        f"{name} ({count} people)"
        for name, count in results["people"].items()
        if name not in (results["measured_on"], "validation")
    ]
    counts = sorted(set(results["seeds"].values()))
    page = (
        environment(Path(__file__).parent)
        .get_template(TEMPLATE)
        .render(
            au_names=AU_NAMES,
            results=results,
            sections=sections,
            people=results["people"][results["measured_on"]],
            seeds=f"{' or '.join(map(str, counts))} detectors per arm",
            others=", ".join(others),
            version=__version__,
        )
    )
    with atomic_file(folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def _draw(name: str, values: Values, folder: Path) -> dict[str, Any]:
    """Save the figure of a section, and return it for the page."""
    figure = getattr(figures, name)(values)
    to_png(figure, folder / f"{name}.png")
    return inline_figure(name, figure, alt=CAPTIONS[name], caption=CAPTIONS[name])
