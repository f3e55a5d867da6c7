"""Faults of the machine in one line, whichever library meets them."""

import errno
import os
import sqlite3
from collections import namedtuple
from pathlib import Path

import pytest
from safetensors import SafetensorError

from facsimile.errors import FacsimileError
from tasks.shared import faults
from tasks.shared.faults import explain, explain_faults

FULL = Path("/dev/full")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".dvc" / "cache" / "files").mkdir(parents=True)
    (tmp_path / ".dvc" / "cache" / "files" / "a").write_bytes(bytes(5_000_000))
    (tmp_path / "data" / "edit").mkdir(parents=True)
    (tmp_path / "data" / "edit" / "b").write_bytes(bytes(2_000_000))
    (tmp_path / "mlflow.db").write_bytes(bytes(1000))
    return tmp_path


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("I/O error: No space left on device (os error 28)"),
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("[Errno 28] Error writing bytes to file"),
    ],
)
def test_a_full_disk_is_reported_with_what_to_free(root: Path, error: Exception) -> None:
    line = explain(error, root)
    assert line.startswith("disk full: ") and " left on /" in line and "\n" not in line
    assert "(largest in the project: .dvc/cache 5 MB, data/edit 2 MB, mlflow.db 1 KB)" in line
    assert "dvc gc --workspace" in line


@pytest.mark.skipif(not FULL.is_char_device(), reason="no /dev/full")
def test_a_write_that_meets_a_full_disk(root: Path) -> None:
    # Opened here: libraries remove or replace a path that they fail to write to.
    with (
        pytest.raises(FacsimileError, match="disk full: "),
        explain_faults(root),
        FULL.open("w") as f,
    ):
        f.write("1")


def test_a_failed_write_of_torch_is_explained(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("[enforce fail at inline_container.cc:626] . unexpected pos 64 vs 0")
    failed = RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
    assert explain(failed, root) is None and explain(error, root) is None
    usage = namedtuple("usage", "total used free")(10, 10, 4096)
    monkeypatch.setattr(faults.shutil, "disk_usage", lambda path: usage)
    assert explain(failed, root).startswith("disk full: 4 KB left on ")


def test_the_error_behind_another_one_counts(root: Path) -> None:
    with pytest.raises(FacsimileError, match="disk full"), explain_faults(root):
        try:
            raise OSError(errno.ENOSPC, "No space left on device", str(root / "data"))
        except OSError as error:
            raise RuntimeError("a worker failed") from error


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, "permission denied for user"),
        (errno.EPERM, "permission denied for user"),
        (errno.EROFS, "the file system is read-only"),
    ],
)
def test_missing_permissions_are_reported_with_the_path(
    root: Path, number: int, message: str
) -> None:
    path = root / "data" / ".edit.1.tmp"
    line = explain(OSError(number, os.strerror(number), str(path)), root)
    assert line.startswith(f"{path}: {message}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(root: Path) -> None:
    (root / "data").chmod(0o500)
    with pytest.raises(FacsimileError, match=r"data/new: permission denied"), explain_faults(root):
        (root / "data" / "new").mkdir()


def test_bugs_and_bad_input_stay_what_they_are(root: Path) -> None:
    for error in (KeyError("a"), FileNotFoundError(errno.ENOENT, "no", "x"), FacsimileError("b")):
        with pytest.raises(type(error)) as caught, explain_faults(root):
            raise error
        assert caught.value is error
    assert "ulimit" in explain(OSError(errno.EMFILE, "Too many open files"), root)
