"""``facsimile register``, ``promote``, ``rollback`` and ``models`` on a project with detectors."""

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.app import app
from tests.support.detectors import train

pytestmark = pytest.mark.slow


def facsimile(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--root", str(root)])


def test_a_promotion_a_refusal_and_a_rollback(registered: Path) -> None:
    train(registered)
    result = facsimile(registered, "register")
    assert result.stdout.startswith("real+generated registered as version 2 of facsimile-au-det")
    result = facsimile(registered, "promote")
    assert result.exit_code == 0, result.output
    assert "AU12" in result.stdout and "version 2 is the champion" in result.stdout

    train(registered, inverted=["AU25"])
    facsimile(registered, "register")
    result = facsimile(registered, "promote", "--margin", "1")
    assert result.exit_code == 1
    refused, *reasons = result.stderr.splitlines()
    assert refused == "facsimile: version 3 is refused"
    assert any(reason.startswith("facsimile: AU25: F1 0.") for reason in reasons)

    result = facsimile(registered, "rollback")
    assert result.stdout == "version 1 is the champion again, instead of version 2\n"
    rows = [line.split() for line in facsimile(registered, "models").stdout.splitlines()]
    assert [row[:2] for row in rows if row[:1] in (["3"], ["1"])] == [
        ["3", "challenger"],
        ["1", "champion"],
    ]


@pytest.mark.parametrize("tolerance", ["much", "AU01=", "=0.1", "-1", "AU99=0.1", "nan"])
def test_a_tolerance_that_is_none_is_refused(tmp_path: Path, tolerance: str) -> None:
    (tmp_path / "dvc.yaml").touch()
    result = facsimile(tmp_path, "promote", f"--au-tolerance={tolerance}")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1 and "tolerance" in result.stderr


@pytest.mark.parametrize("command", ["models", "promote", "rollback"])
def test_without_versions_the_next_step_is_named(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "dvc.yaml").touch()
    result = facsimile(tmp_path, command)
    assert result.exit_code == 2 and "`facsimile register` adds one" in result.stderr
