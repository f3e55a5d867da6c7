"""``facsimile report`` and ``inspect``: paths, and errors where there is nothing yet."""

from pathlib import Path

from typer.testing import CliRunner

from cli.app import app


def test_report_is_a_path_or_an_error(tmp_path: Path) -> None:
    missing = CliRunner().invoke(app, ["report", "--root", str(tmp_path)])
    assert missing.exit_code == 2
    path = tmp_path / "data" / "evaluate" / "report.html"
    path.parent.mkdir(parents=True)
    path.write_text("<html>")
    found = CliRunner().invoke(app, ["report", "--root", str(tmp_path)])
    assert found.output.replace("\n", "") == str(path)


def test_nothing_to_inspect(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["inspect", "--root", str(tmp_path)])
    assert result.exit_code == 2
    assert "facsimile demo" in result.stderr and result.stderr.count("\n") == 1
