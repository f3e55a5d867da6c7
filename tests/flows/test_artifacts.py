"""Prefect artifacts: what they hold, and that none of them fails a run."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import artifacts
from tasks.provenance.git import Revision

REPORTS = [{"stage": "evaluate", "state": "Completed"}]
REVISION = Revision("0123456789", changed=True)
PAGE = "https://mlflow.example.com/#/experiments/1/runs/2"


@pytest.fixture
def evaluated(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "evaluate"
    folder.mkdir(parents=True)
    f1 = {"real": {"mean": 0.5}, "real+generated": {"mean": 0.75}}
    (folder / "metrics.json").write_text(json.dumps({"f1": f1}))
    (folder / "report.html").write_text("<html>")
    (folder / "contact_sheet.png").write_bytes(b"picture")
    return tmp_path


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What is published, by key."""
    found: dict[str, object] = {}

    def publish(content: object, key: str, description: str) -> None:
        found[key] = content

    for create in ("create_table_artifact", "create_markdown_artifact"):
        monkeypatch.setattr(artifacts, create, publish)
    return found


def test_report_is_published_with_its_headline(evaluated: Path, published: dict[str, str]) -> None:
    assert artifacts.publish(evaluated, REPORTS, REVISION, PAGE) == ""
    assert published.keys() == {"run", "stages", "metrics", "contact-sheet", "report"}
    assert PAGE in published["run"]
    assert "`0123456789`, with uncommitted changes" in published["run"]
    assert f"`{evaluated / 'data/evaluate/report.html'}`" in published["report"]
    assert "| gain.real+generated | 0.25 |" in published["report"]


def unreadable(root: Path) -> None:
    (root / "data" / "evaluate" / "metrics.json").write_text("{")


def no_picture(root: Path) -> None:
    (root / "data" / "evaluate" / "contact_sheet.png").unlink()
    (root / "data" / "evaluate" / "contact_sheet.png").mkdir()


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (unreadable, "Prefect artifacts not published: metrics, report (Expecting"),
        (no_picture, "Prefect artifacts not published: contact-sheet ([Errno 21]"),
    ],
)
def test_a_failed_artifact_leaves_the_others(
    evaluated: Path, published: dict[str, str], spoil: Callable[[Path], None], line: str
) -> None:
    spoil(evaluated)
    assert artifacts.publish(evaluated, REPORTS, REVISION, PAGE).startswith(line)
    assert "stages" in published
