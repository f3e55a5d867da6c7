import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from facsimile.errors import FacsimileError
from facsimile.faces.arms import training_arms
from facsimile.faces.aus import AUS
from facsimile.report import (
    Evidence,
    contact_sheet,
    figures,
    gallery_rows,
    pictures,
    render,
    write_figures,
)
from facsimile.report import write_report as write
from facsimile.report.figures import square
from facsimile.report.html import blocks
from facsimile.report.style import to_svg
from facsimile.report.summary import tiles, verdict

from .conftest import grey_images, write_evidence

LINEAGE = {
    "git_commit": "0123abcd",
    "git_dirty": True,
    "packages": {"torch": "2.14.1"},
    "params": {"train": {"seeds": 3}},
    "stages": [
        {
            "name": "encode",
            "cmd": "python -m tasks.encode",
            "deps": [{"path": "data/ingest", "md5": "aaaa"}],
            "outs": [{"path": "data/encode", "md5": "bbbb", "size": 1_234_567}],
        }
    ],
}


class Page(HTMLParser):
    """Collects what a test asks of a page: links, sources, ids and elements without alt text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses, self.ids, self.nameless = [], [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.addresses += [values[key] for key in ("src", "href", "xlink:href") if key in values]
        self.ids += [values["id"]] if "id" in values else []
        if (tag == "img" and not values.get("alt")) or (
            tag == "svg" and not values.get("aria-label")
        ):
            self.nameless.append(tag)


@pytest.fixture
def small() -> Evidence:
    """Evidence of two small figures and no more."""
    activity = pd.DataFrame({"au": AUS, "before": 0.3, "after": 0.1})
    return Evidence({"filter": {"rejected_by_reason": {"identity": 3}}}, {"activity": activity})


@pytest.fixture(scope="module")
def page(evaluate_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("out") / "sub" / "report.html"
    write(evaluate_dir, LINEAGE, path)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_page_needs_nothing_but_itself(page: str) -> None:
    addresses = Page(page).addresses
    assert addresses
    assert all(address.startswith(("data:image/webp;base64,", "#")) for address in addresses)
    assert not re.search(r"<script|@import|url\((?!#)", page)


def test_links_lead_somewhere_and_ids_are_unique(page: str) -> None:
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    targets = {address[1:] for address in parsed.addresses if address.startswith("#")}
    assert targets <= set(parsed.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(parsed.ids)


def test_every_picture_has_a_text(page: str) -> None:
    assert Page(page).nameless == []


def test_figures_take_the_colours_of_the_page(page: str) -> None:
    assert "#1c1e21" not in page.split("</style>", 1)[1]
    assert "var(--ink)" in page.split("</style>", 1)[1]


def test_lineage_is_shown(page: str) -> None:
    assert "0123abcd</code> with uncommitted changes" in page
    for text in ("torch 2.14.1", "bbbb", "1.2 MB", "aaaa  data/ingest", "seeds: 3"):
        assert text in page


def test_same_evidence_same_page(small: Evidence) -> None:
    assert render(small, LINEAGE) == render(small, LINEAGE)


def test_names_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    assert "<b>bold" not in render(Evidence.read(tmp_path), {"git_commit": "<b>bold</b>"})


def test_missing_measurements_do_not_appear(tmp_path: Path) -> None:
    metrics = {"edit": {"on_target": 0.5, "off_target": 0.1}}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    evidence = Evidence.read(tmp_path)
    assert [tile.label for tile in tiles(evidence)] == ["Edits: on / off target"]
    assert (pictures(evidence), verdict(evidence)) == ({}, "")
    text = render(evidence, {})
    assert "<section" not in text and "<nav" in text


def test_arms_that_were_not_trained_do_not_appear(tmp_path: Path) -> None:
    evidence = Evidence.read(write_evidence(tmp_path / "few", ("real", "real+edited")))
    assert verdict(evidence).startswith("Trained on real + edited faces")
    figure = pictures(evidence)["f1_per_au"].draw()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["real", "real+edited"]


def test_a_single_arm_is_not_compared(tmp_path: Path) -> None:
    evidence = Evidence.read(write_evidence(tmp_path / "one", ("real",)))
    assert verdict(evidence) == ""
    assert not any("F1" in tile.label for tile in tiles(evidence))
    assert "au_pair_fpr" in pictures(evidence)


def headline(real: float, generated: float, interval: list[float] | None) -> tuple[str, str, str]:
    f1 = {
        "real": {"mean": real, "se": 0.01, "per_seed": [real] * 5},
        "real+generated": {"mean": generated, "se": None, "per_seed": [generated] * 5},
    }
    if interval:
        f1["real+generated"]["gain_interval"] = interval
    [tile] = tiles(Evidence({"f1": f1}))
    return tile.value, tile.detail, tile.verdict


def test_headline_gain() -> None:
    value, detail, judged = headline(0.40, 0.50, [0.05, 0.15])
    assert (value, judged) == ("+25.0 %", "better")
    assert detail == "0.400 ± 0.010 → 0.500 (± SE over 5 seeds)"


@pytest.mark.parametrize(
    ("generated", "interval", "judged"),
    [
        (0.30, [-0.2, -0.05], "worse"),
        (0.30, None, "worse"),
        (0.42, [-0.01, 0.05], "no clear difference"),
        (0.40, None, "no clear difference"),
    ],
)
def test_headline_does_not_flatter(generated: float, interval: list[float], judged: str) -> None:
    assert headline(0.40, generated, interval)[2] == judged


def test_gains_on_other_datasets_are_named() -> None:
    rows = [("home", "real", 0.4), ("home", "real+edited", 0.5)]
    rows += [("abroad", "real", 0.2), ("abroad", "real+edited", 0.3)]
    detection = pd.DataFrame(rows, columns=["test_set", "arm", "f1"]).assign(seed=0, au="AU01")
    f1 = {arm: {"mean": mean, "per_seed": [mean]} for _, arm, mean in rows[:2]}
    [tile] = tiles(Evidence({"f1": f1}, {"detection": detection}))
    assert tile.detail.endswith("On other datasets: abroad +50.0 %")


def test_missing_metrics_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FacsimileError, match=r"metrics\.json: not readable") as caught:
        Evidence.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    pd.DataFrame({"origin": ["real"], "au": ["AU01"]}).to_parquet(tmp_path / "au_counts.parquet")
    with pytest.raises(FacsimileError, match=r"au_counts\.parquet: missing column active"):
        Evidence.read(tmp_path)


def test_square_orders_pairs_as_aus() -> None:
    table = pd.DataFrame({"au": ["AU26", "AU01"], "other": ["AU01", "AU02"], "r": [0.3, -0.5]})
    matrix = square(table, "au", "other", "r")
    assert (matrix[11, 0], matrix[0, 1]) == (0.3, -0.5)
    assert np.isnan(matrix).sum() == 142


def test_balance_is_described_in_words(evaluate_dir: Path) -> None:
    caption = pictures(Evidence.read(evaluate_dir))["au_counts"].caption
    assert "AU01, is active on 2,000 and the rarest, AU26, on 7: 285.7 to 1" in caption
    assert "3,300 (AU01) against 1,307 (AU26): 2.5 to 1" in caption


def test_figures_as_png(tmp_path: Path) -> None:
    metrics = {"filter": {"rejected_by_reason": {"identity": 3}}}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    paths = write_figures(tmp_path, tmp_path / "figures")
    assert [path.name for path in paths] == ["rejections.png"]
    for path in paths:
        with Image.open(path) as image:
            assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_svg_ids_of_two_figures_differ(small: Evidence) -> None:
    figure = pictures(small)["rejections"].draw()
    first, second = (set(Page(to_svg(figure, name, "text")).ids) for name in ("one", "two"))
    assert first and not first & second


def test_blocks_keep_the_edits_of_an_au_together() -> None:
    columns = ["original", *(f"{au} {s}" for au in AUS for s in (0.25, 0.5, 1.0))]
    sheet = gallery_rows("edits", ["person 1"] * 37, columns, grey_images(37)).to_pandas()
    parts = blocks(sheet)
    assert [part.groups[0] for part in parts] == [("original", 1)] * 3
    assert [part.groups[1:] for part in parts] == [
        [(au, 3) for au in AUS[start : start + 4]] for start in (0, 4, 8)
    ]
    assert parts[0].columns == ["", *["0.25", "0.5", "1.0"] * 4]


def test_a_place_without_a_face_stays_empty() -> None:
    sheet = gallery_rows("edits", ["a", "b", "b"], ["x", "x", "y"], grey_images(3)).to_pandas()
    [block] = blocks(sheet)
    assert [(label, [face is not None for face in row]) for label, row in block.rows] == [
        ("a", [True, False]),
        ("b", [True, True]),
    ]


def test_contact_sheet_puts_faces_in_their_places() -> None:
    images = grey_images(4)
    images[:, 0, 0] = 0
    table = gallery_rows("s", ["r", "r", "q", "q"], ["1", "2", "1", "2"], images).to_pandas()
    picture = contact_sheet(table, "s")
    height, width = picture.shape[:2]
    # Faces of 16 px with a gap of 2 px, from the lower right corner behind a margin of 6 px.
    for index, image in enumerate(images):
        top = height - 6 - 16 - (1 - index // 2) * 18
        left = width - 6 - 16 - (1 - index % 2) * 18
        np.testing.assert_array_equal(picture[top : top + 16, left : left + 16], image)


def test_contact_sheet_names_the_sheets_there_are(evaluate_dir: Path) -> None:
    table = pd.read_parquet(evaluate_dir / "gallery.parquet")
    with pytest.raises(FacsimileError, match="no sheet 'faces', only edited, synthetic, rejected"):
        contact_sheet(table, "faces")
    large, small = (contact_sheet(table, "edited", scale) for scale in (2, 1))
    assert large.shape[1] > 1.5 * small.shape[1]


def test_large_faces_are_shrunk_on_the_page() -> None:
    image = np.zeros((1, 512, 256, 3), np.uint8)
    [block] = blocks(gallery_rows("edits", ["a"], ["original"], image).to_pandas())
    [(_, [face])] = block.rows
    with Image.open(io.BytesIO(base64.b64decode(face.source.split(",")[1]))) as shown:
        assert shown.size == (64, 128)


def test_an_unknown_commit_is_explained(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    page = render(Evidence.read(tmp_path), {"git_commit": "", "git_unknown": "no git repository"})
    assert "unknown (no git repository)" in page


@pytest.mark.slow
def test_every_arm_is_in_every_figure_that_lists_arms(tmp_path: Path) -> None:
    evidence = Evidence.read(write_evidence(tmp_path / "all", tuple(training_arms())))
    shown = pictures(evidence)
    for name in ("f1_by_test_set", "f1_per_au"):
        legend = shown[name].draw().legends[0]
        assert [text.get_text() for text in legend.get_texts()] == list(training_arms())
    titles = [axes.get_title(loc="left") for axes in shown["au_pair_fpr"].draw().axes]
    arms = len(training_arms())
    assert [title.split(":")[0] for title in titles[:arms]] == list(training_arms())
    assert titles[arms].startswith("difference, real+generated to real")
    text = render(evidence, {})
    assert all(arm in text for arm in training_arms())
    assert len({arm.colour for arm in training_arms().values()}) == len(training_arms())


@pytest.mark.slow
def test_figures_show_the_annotated_aus(evaluate_dir: Path) -> None:
    evidence = Evidence.read(evaluate_dir)
    assert "All figures cover" not in render(evidence, {})
    few = replace(evidence, metrics=evidence.metrics | {"aus": ["AU04", "AU12"]})
    shown = pictures(few)
    for name in ("correlations", "edit_effects", "au_pair_fpr", "f1_per_au", "oracle"):
        for axes in shown[name].draw().axes:
            ticks = [text.get_text() for text in axes.get_xticklabels()]
            assert ticks in (["AU04", "AU12"], ["04", "12"]), name
    drawn = figures.au_counts(few.tables["au_counts"].query("au != 'AU12'"), few.aus)
    assert [text.get_text().strip() for text in drawn.axes[0].texts] == ["not annotated"]
    text = render(few, {})
    assert "All figures cover AU04, AU12. AU01, AU02, AU05" in text
    one = replace(evidence, metrics=evidence.metrics | {"aus": ["AU04"]})
    assert "mean |r|" in render(one, {}) and ">nan" not in render(one, {})
