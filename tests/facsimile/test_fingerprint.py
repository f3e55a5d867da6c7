"""Fingerprints of files, and descriptions of their changes."""

import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facsimile.fingerprint import (
    FileHasher,
    difference,
    fingerprint_code,
    fingerprint_files,
    open_hasher,
)


def lines(root: Path, full: bool = False, hashes: FileHasher | None = None) -> list[str]:
    return list(fingerprint_files(root, full, hashes or FileHasher()))


def names(found: Iterable[str]) -> list[str]:
    return [line.split("\t")[0] for line in found]


def states(found: Iterable[str]) -> dict[str, str]:
    return {line.split("\t")[0]: line.split("\t")[2].split(":")[0] for line in found}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images of two people, labels and a video."""
    for name in ("anna/0.png", "anna/1.png", "ben/0.png", "labels.csv", "ben.avi", "ben.txt"):
        path = tmp_path / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "faces"


@pytest.fixture
def table(folder: Path) -> Path:
    """A table of three images, one of which does not exist."""
    path = folder.parent / "faces.csv"
    path.write_text("image_path,subject_id\nfaces/anna/0.png,anna\nfaces/ben/0.png,b\nno.png,b\n")
    return path


def rewrite(path: Path, content: str = "other", keep_times: bool = False) -> None:
    status = path.stat()
    path.write_text(content)
    if keep_times:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_folder_lists_all_files_and_hashes_tables(folder: Path) -> None:
    assert states(lines(folder)) == {
        "anna/0.png": "mtime",
        "anna/1.png": "mtime",
        "ben/0.png": "mtime",
        "ben.avi": "mtime",
        "ben.txt": "sha256",
        "labels.csv": "sha256",
    }
    assert set(states(lines(folder, full=True)).values()) == {"sha256"}


def test_a_table_lists_itself_and_its_images(table: Path) -> None:
    assert states(lines(table)) == {
        "faces.csv": "sha256",
        "faces/anna/0.png": "mtime",
        "faces/ben/0.png": "mtime",
        "no.png": "absent",
    }


@pytest.mark.parametrize(
    "content",
    [
        "subject_id;Image Path;AU04\na;anna\\0.png;0,5\n",
        "id\tframe\n1\t{folder}/anna/0.png\n",
        "\ufeffimage_path,subject_id\r\nanna/0.png,a\r\n",
    ],
)
def test_tables_may_have_any_dialect_and_column_names(folder: Path, content: str) -> None:
    path = folder / "table.txt"
    path.write_text(content.format(folder=folder))
    assert list(states(lines(path)[1:]).values()) == ["mtime"]


def test_parquet_tables_name_files_in_text_and_image_columns(folder: Path) -> None:
    image = [{"bytes": None, "path": "anna/0.png"}, {"bytes": b"x", "path": "made-up.png"}]
    rows = {"image": image, "other": ["ben/0.png", None], "subject_id": ["a", "b"]}
    pq.write_table(pa.table(rows), folder / "part-00000.parquet")
    found = lines(folder / "part-00000.parquet")
    assert names(found) == ["part-00000.parquet", "anna/0.png", "ben/0.png", "made-up.png"]


def test_shards_may_name_images_outside_their_folder(folder: Path) -> None:
    shards = folder / "shards"
    shards.mkdir()
    pq.write_table(pa.table({"image_path": ["../anna/0.png", "in.png"]}), shards / "part-0.parquet")
    assert names(lines(shards)) == ["part-0.parquet", "../anna/0.png"]


def test_names_in_other_unicode_normal_forms_are_found(tmp_path: Path) -> None:
    (tmp_path / unicodedata.normalize("NFD", "zoë.png")).touch()
    (tmp_path / "t.csv").write_text(unicodedata.normalize("NFC", "image_path\nzoë.png\n"))
    assert set(states(lines(tmp_path / "t.csv")).values()) == {"sha256", "mtime"}


def test_links_are_followed_and_system_files_ignored(folder: Path, tmp_path: Path) -> None:
    before = lines(folder)
    (folder / ".DS_Store").touch()
    (folder / "Thumbs.db").touch()
    (folder / "anna" / "loop").symlink_to(folder)
    assert lines(folder) == before
    (folder / "anna" / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "0.png").touch()
    (folder / "carl").symlink_to(tmp_path / "elsewhere")
    found = states(lines(folder))
    assert found["anna/gone.png"] == "absent" and found["carl/0.png"] == "mtime"


def test_unreadable_tables_are_hashed_as_well(tmp_path: Path) -> None:
    for name, content in (("a.parquet", b"PAR1 alone"), ("b.csv", b'"' + b"x" * 200_000)):
        (tmp_path / name).write_bytes(content)
        assert states(lines(tmp_path / name)) == {name: "sha256"}


def test_names_with_special_characters_stay_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "a\tb\nc.png").touch()
    (tmp_path / os.fsdecode(b"\xff.png")).touch()
    assert names(lines(tmp_path)) == ["a\\tb\\nc.png", "\udcff.png"]


def test_changes_are_summarised(folder: Path) -> None:
    before = lines(folder)
    assert difference(before, lines(folder)) == ""
    rewrite(folder / "anna/1.png")
    assert difference(before, lines(folder)) == "anna/1.png changed"
    rewrite(folder / "labels.csv")
    assert difference(before, lines(folder)) == "anna/1.png and 1 more changed"
    before = lines(folder)
    (folder / "anna/2.png").touch()
    assert difference(before, lines(folder)) == "anna/2.png added"
    assert difference(lines(folder), before) == "anna/2.png removed"
    (folder / "zoe.png").touch()
    (folder / "anna/2.png").unlink()
    assert difference(before, lines(folder)) == "zoe.png added"
    assert difference(lines(folder), before) == "zoe.png removed"


def test_changes_of_a_table_are_summarised(table: Path) -> None:
    before = lines(table)
    (table.parent / "no.png").touch()
    assert difference(before, lines(table)) == "no.png added"
    (table.parent / "no.png").unlink()
    (table.parent / "faces/ben/0.png").unlink()
    assert difference(before, lines(table)) == "faces/ben/0.png removed"
    rewrite(table, table.read_text() + "faces/anna/1.png,anna\n")
    assert difference(before, lines(table)).startswith("faces.csv ")


def test_modification_times_do_not_matter_for_hashed_files(folder: Path) -> None:
    before, full = lines(folder), lines(folder, full=True)
    os.utime(folder / "labels.csv", ns=(1, 1))
    assert lines(folder) == before
    os.utime(folder / "ben/0.png", ns=(1, 1))
    assert difference(before, lines(folder)) == "ben/0.png changed"
    assert lines(folder, full=True) == full
    rewrite(folder / "ben/0.png", "BEN/0.png", keep_times=True)
    assert difference(full, lines(folder, full=True)) == "ben/0.png changed"


def test_hashes_of_unchanged_files_are_cached(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_hasher(tmp_path / "work" / "hashes.db") as hashes:
        before = lines(folder, True, hashes)
    opened: list[Path] = []
    real = Path.open

    def spy(path: Path, *arguments, **options):
        opened.append(path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", spy)
    with open_hasher(tmp_path / "work" / "hashes.db") as hashes:
        assert lines(folder, True, hashes) == before
        assert not opened
        # Same size and modification time, but another change time.
        rewrite(folder / "anna/0.png", "ANNA/0.png", keep_times=True)
        opened.clear()
        assert difference(before, lines(folder, True, hashes)) == "anna/0.png changed"
        assert opened == [folder / "anna/0.png"]


def test_code_includes_the_whole_package(tmp_path: Path) -> None:
    (tmp_path / "mine" / "sub").mkdir(parents=True)
    for name in ("mine/landmarks.py", "mine/sub/helper.py", "alone.py"):
        (tmp_path / name).write_text(name)
    (tmp_path / "mine" / "notes.md").touch()
    found = names(fingerprint_code("mine.landmarks", tmp_path))
    assert found == ["mine/landmarks.py", "mine/sub/helper.py"]
    assert names(fingerprint_code("alone", tmp_path)) == ["alone.py"]
    assert not list(fingerprint_code("numpy.linalg", tmp_path))


def test_heavy_packages_are_not_imported() -> None:
    heavy = {"torch", "pandas", "pyarrow", "numpy", "sklearn", "numba"}
    code = f"import sys, tasks.sources; print(*sys.modules.keys() & {heavy})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0 and not result.stdout.strip(), result.stdout + result.stderr
