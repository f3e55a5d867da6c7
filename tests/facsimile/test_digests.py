"""Recorded digests of shipped files."""

import subprocess
from pathlib import Path

import pytest

from facsimile.detection import AUOracle
from facsimile.digests import DIGESTS, check_digests, record_digests
from facsimile.errors import FacsimileError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "weights").write_text("1")
    (tmp_path / "config").write_text("2")
    record_digests(tmp_path, ["weights", "config"])
    return tmp_path


def test_unchanged_files_match(folder: Path) -> None:
    assert check_digests(folder)
    command = ["sha256sum", "--check", "--status", DIGESTS]
    assert subprocess.run(command, cwd=folder).returncode == 0


def test_a_changed_file_is_reported_with_the_next_step(folder: Path) -> None:
    (folder / "weights").write_text("3")
    with pytest.raises(FacsimileError) as caught:
        check_digests(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'weights'}: does not match SHA256SUMS")
    command = f"sha256sum config weights > {DIGESTS}"
    assert f"git checkout -- {folder}" in message and f"`{command}`" in message
    subprocess.run(command, shell=True, cwd=folder, check=True)
    assert check_digests(folder)


def test_missing_files_and_invalid_records_are_reported(folder: Path) -> None:
    (folder / "config").unlink()
    with pytest.raises(FacsimileError, match="config: missing"):
        check_digests(folder)
    (folder / DIGESTS).write_text("no digest")
    with pytest.raises(FacsimileError, match="SHA256SUMS: line 1: not a SHA-256 digest"):
        check_digests(folder)
    (folder / DIGESTS).unlink()
    assert not check_digests(folder)


@pytest.mark.parametrize("name", ["generator", "oracle"])
def test_shipped_models_match_their_digests(name: str) -> None:
    assert check_digests(ROOT / "data" / name)


def test_an_oracle_is_saved_with_its_digests(tmp_path: Path) -> None:
    AUOracle(image_size=32).save(tmp_path)
    assert check_digests(tmp_path)
