"""Leases on devices."""

import os
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from facsimile.errors import FacsimileError
from flows.device_lease import CPU_SLOTS, find_devices, lease


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_devices_are_those_made_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert find_devices() == ["2", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert find_devices() == []


def test_each_holder_sees_a_device_of_its_own() -> None:
    with lease(["2", "5"]) as first, lease(["2", "5"]) as second:
        assert first == {"CUDA_VISIBLE_DEVICES": "2"}
        assert second == {"CUDA_VISIBLE_DEVICES": "5"}
    with lease([]) as first, lease([]) as second:
        assert first == second == {}


@pytest.mark.parametrize(("devices", "slots"), [(["0"], 1), ([], len(CPU_SLOTS))])
def test_holder_waits_until_a_device_is_free(devices: list[str], slots: int) -> None:
    got = threading.Event()

    def hold() -> None:
        with lease(devices):
            got.set()

    with ExitStack() as held:
        for _ in range(slots):
            held.enter_context(lease(devices))
        waiting = threading.Thread(target=hold)
        waiting.start()
        assert not got.wait(0.5)
    waiting.join(10)
    assert got.is_set()


def test_lease_of_a_killed_process_is_free_again(locks: Path) -> None:
    script = (
        "import os, tempfile; from flows.device_lease import lease\n"
        f"tempfile.tempdir = {str(locks)!r}\n"
        "with lease(['0']): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    with lease(["0"]) as held:
        assert held == {"CUDA_VISIBLE_DEVICES": "0"}


def test_folder_of_another_kind_or_open_to_others_is_refused(locks: Path) -> None:
    folder = locks / f"facsimile-{os.getuid()}"
    elsewhere = locks / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)
    with pytest.raises(FacsimileError, match="TMPDIR"), lease([]):
        pass
    folder.unlink()
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(FacsimileError, match="only you can access"), lease([]):
        pass


def test_lock_file_that_is_a_link_is_neither_followed_nor_emptied(locks: Path) -> None:
    victim = locks / "victim"
    victim.write_text("precious")
    folder = locks / f"facsimile-{os.getuid()}"
    folder.mkdir(mode=0o700)
    (folder / "cpu-0.lock").symlink_to(victim)
    with pytest.raises(FacsimileError, match=r"cpu-0\.lock"), lease([]):
        pass
    assert victim.read_text() == "precious"
