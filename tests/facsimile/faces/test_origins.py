"""The table of origins: one more entry, and everything that depends on origins has it."""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from facsimile.errors import FacsimileError
from facsimile.faces.arms import ALL_GENERATED, training_arms
from facsimile.faces.origins import ORIGINS, REAL, Origin, generated_origins
from facsimile.faces.schema import validate_faces
from facsimile.faces.tables import GENERATED_SCHEMA, read_table, write_shards
from facsimile.filtering import requested_codes
from facsimile.inspection import write_inspection
from facsimile.release import Release, write_release
from facsimile.report import Evidence, gallery_rows, pictures, render
from flows.face_lineage import trace
from flows.outputs import inspectable
from tasks.params import TrainParams
from tasks.shared.artefacts import generated_tables
from tests.facsimile.release.conftest import edits_of, faces, release, table
from tests.facsimile.report.conftest import evaluate_dir

__all__ = ["evaluate_dir", "faces", "release", "table"]

ROOT = Path(__file__).parents[3]
AGED = Origin(
    "aged",
    "age",
    "#123456",
    title="Aged faces",
    summary="a source made older",
    description="a face of {sources}, made older.",
    keeps_identity=False,
)


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> Origin:
    """One more origin."""
    monkeypatch.setitem(ORIGINS, AGED.name, AGED)
    return AGED


def colours(figure: Figure) -> dict[str, str]:
    """Colour of each entry of the legend."""
    legend = figure.legends[0]
    patches = (handle.get_facecolor() for handle in legend.get_patches())
    names = (text.get_text() for text in legend.get_texts())
    return dict(zip(names, map(to_hex, patches), strict=True))


def test_arms_are_those_of_the_origins() -> None:
    assert list(training_arms()) == [
        "real",
        "real+edited",
        "real+transferred",
        "real+synthetic",
        "real+described",
        "real+generated",
    ]
    assert training_arms()[ALL_GENERATED].origins == tuple(generated_origins())
    distinct = {arm.colour for arm in training_arms().values()}
    assert len(distinct) == len(training_arms())


def test_training_knows_a_new_origin(aged: Origin) -> None:
    arms = training_arms()
    assert arms["real+aged"].origins == ("aged",) and arms["real+aged"].colour == aged.colour
    assert list(arms)[-1] == ALL_GENERATED and "aged" in arms[ALL_GENERATED].origins
    assert TrainParams(arms=list(arms), seeds=[0]).arms == tuple(arms)
    with pytest.raises(ValueError, match=r"is not a training arm; allowed: real, .*aged"):
        TrainParams(arms=["real+old"], seeds=[0])


def test_the_schema_knows_a_new_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pd.DataFrame({"origin": ["aged"]})
    with pytest.raises(FacsimileError, match="aged not one of real, edited"):
        validate_faces(rows, "table")
    monkeypatch.setitem(ORIGINS, AGED.name, AGED)
    validate_faces(rows, "table")


def test_the_filter_compares_a_moved_face_with_its_own_code(aged: Origin) -> None:
    candidates = pd.DataFrame({"origin": ["edited", "aged"], "source_id": "a", "z": [[1.0], [2.0]]})
    codes = requested_codes(candidates, pd.Series([[9.0]], index=["a"]))
    assert codes.tolist() == [[9.0], [2.0]]


@pytest.mark.slow
def test_reports_know_a_new_origin(aged: Origin, evaluate_dir: Path) -> None:
    evidence = Evidence.read(evaluate_dir)
    tables = dict(evidence.tables)
    counts, detection = tables["au_counts"], tables["detection"]
    more = counts[counts["origin"] == "edited"].assign(origin="aged")
    tables["au_counts"] = pd.concat([counts, more])
    scores = detection[detection["arm"] == "real+edited"].assign(arm="real+aged")
    tables["detection"] = pd.concat([detection, scores])
    images = np.zeros((1, 8, 8, 3), np.uint8)
    sheet = gallery_rows("aged", ["person 1"], ["older"], images).to_pandas()
    tables["gallery"] = pd.concat([tables["gallery"], sheet])
    evidence = replace(evidence, tables=tables)
    drawn = pictures(evidence)
    assert colours(drawn["au_counts"].draw())["aged"] == aged.colour
    assert colours(drawn["f1_by_test_set"].draw())["real+aged"] == aged.colour
    assert "<h3>Aged faces</h3>" in render(evidence, {})


def test_figures_and_arms_agree_on_colours(evaluate_dir: Path) -> None:
    drawn = pictures(Evidence.read(evaluate_dir))
    arms = training_arms()
    for name, colour in colours(drawn["au_counts"].draw()).items():
        assert colour == arms[name if name == REAL else f"{REAL}+{name}"].colour


def test_releases_know_a_new_origin(
    aged: Origin, faces: pd.DataFrame, release: Release, tmp_path: Path
) -> None:
    older = faces.assign(origin=faces["origin"].replace("edited", "aged"))
    write_shards([older], tmp_path / "faces", GENERATED_SCHEMA)
    stage = replace(release.stages[0], name="age", run="run-of-age")
    out = tmp_path / "release"
    write_release(out, tmp_path / "faces", replace(release, stages=(stage,)), edits=edits_of(older))
    card = (out / "README.md").read_text()
    assert "- **Aged** faces: a face of disfa, made older." in card
    assert "`aged`: a source made older" in card and "and aged faces resemble the people" in card
    assert re.search(r"'?4'?: aged", card)
    croissant = json.loads((out / "croissant.json").read_text())
    fields = {field["@id"]: field for field in croissant["recordSet"][0]["field"]}
    assert "`aged`: a source made older" in fields["faces/origin"]["description"]
    image = read_table(next((out / "data").glob("*.parquet"))).query("origin == 'aged'")["image"]
    assert b"run-of-age" in image.iloc[0]["bytes"]


def test_inspection_and_lineage_know_a_new_origin(
    aged: Origin, faces: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    real = faces.head(1).assign(sample_id="disfa/S0/neutral", origin=REAL, source_id=None)
    write_shards([real], Path("data/ingest/disfa"), GENERATED_SCHEMA)
    older = faces.head(1).assign(origin="aged")
    write_shards([older], Path("data/age/faces"), GENERATED_SCHEMA)
    assert Path("data/age/faces") in generated_tables()
    assert write_inspection(**inspectable(tmp_path, None), path=tmp_path / "page.html") == 2
    assert '"origin": "aged"' in (tmp_path / "page.html").read_text()
    lineage = trace(older["sample_id"].iloc[0])
    assert (lineage.label, lineage.stage, lineage.source.kind) == ("aged face", "age", REAL)


def origin_names(path: Path) -> list[str]:
    """Places in a module that list or compare with names of origins or arms."""
    names = set(ORIGINS)
    arms = set(training_arms()) - {REAL}

    def text(node: ast.AST | None) -> str | None:
        return (
            node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
        )

    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.List() | ast.Tuple() | ast.Set():
                listed = len({text(entry) for entry in node.elts} & names) > 1
            case ast.Dict():
                listed = len({text(key) for key in node.keys} & names) > 1
            case ast.Compare():
                listed = any(text(side) in names for side in (node.left, *node.comparators))
            case ast.keyword():
                listed = node.arg == "origin" and text(node.value) in names
            case ast.Constant():
                listed = text(node) in arms
            case _:
                listed = False
        if listed:
            found.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', '?')}")
    return found


def test_no_other_module_lists_origins() -> None:
    modules = [
        path for folder in ("facsimile", "tasks", "flows") for path in (ROOT / folder).rglob("*.py")
    ]
    table = ROOT / "facsimile" / "faces" / "origins.py"
    assert origin_names(table)
    assert [place for path in modules if path != table for place in origin_names(path)] == []


def test_the_recipe_for_all_arms_names_all() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    recipe = f"arms: [{', '.join(training_arms())}]"
    assert any(recipe in page.read_text(encoding="utf-8") for page in pages)
