"""Ingestion part by part: it resumes, thins, and draws splits that no person is in twice."""

from pathlib import Path

import pandas as pd
import pytest

from facsimile.datasets import (
    ADAPTERS,
    Parts,
    Preprocessing,
    Rejects,
    SubjectFold,
    parts,
    write_parts,
)
from facsimile.datasets.adapter import SPLIT_SHARES, draw_splits
from facsimile.errors import FacsimileError
from facsimile.published_folds import published_groups

from .trees import (
    SIZE,
    pixels,
    read,
    shade,
    write_disfa,
    write_disfa_videos,
    write_image,
    write_video,
)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 1)


def write(root: Path, work: Path, on_error: str = "raise", **preprocessing: float) -> Parts:
    rejects = Rejects(on_error)
    faces = ADAPTERS["disfa"].open(root, "mine", 0, rejects)
    return write_parts(
        ADAPTERS["disfa"], faces, Preprocessing(SIZE, **preprocessing), work, rejects
    )


def content(made: Parts) -> list[bytes]:
    return [path.read_bytes() for path in made.paths]


def test_a_run_that_broke_off_goes_on(tmp_path: Path) -> None:
    root = write_disfa_videos(tmp_path / "disfa", frames=5)
    whole = write(root, tmp_path / "whole")
    assert len(whole.paths) == 3 and whole.faces == 15

    video = root / "Videos_LeftCamera" / "LeftVideoSN003_comp.avi"
    sound = video.read_bytes()
    video.write_bytes(sound[: len(sound) // 2])
    with pytest.raises(FacsimileError, match=r"SN003_comp\.avi frame"):
        write(root, tmp_path / "work")
    made = sorted((tmp_path / "work").glob("*"))
    assert len(made) == 4, "two parts with their records, nothing half-written"
    times = [path.stat().st_mtime_ns for path in made]

    video.write_bytes(sound)
    again = write(root, tmp_path / "work")
    assert [path.stat().st_mtime_ns for path in made] == times
    assert content(again) == content(whole)


def test_a_part_is_made_anew_when_its_inputs_change(tmp_path: Path) -> None:
    root, work = write_disfa(tmp_path / "disfa"), tmp_path / "work"
    before = write(root, work)
    assert write(root, work).paths == before.paths

    write_image(root / "Images" / "SN002" / "3.png", pixels(9))
    image = write(root, work)
    assert [a == b for a, b in zip(before.paths, image.paths, strict=True)] == [True, False, True]
    file = root / "ActionUnit_Labels" / "SN003" / "SN003_au4.txt"
    file.write_text(file.read_text().replace("2,0", "2,5"))
    label = write(root, work)
    assert [a == b for a, b in zip(image.paths, label.paths, strict=True)] == [True, True, False]
    assert not set(write(root, work, thin=0.1).paths) & set(label.paths)


def test_rejects_of_finished_parts_are_reported_again(tmp_path: Path) -> None:
    root, work = write_disfa(tmp_path / "disfa"), tmp_path / "work"
    (root / "Images" / "SN002" / "3.png").write_bytes(b"")
    found = []
    for _ in range(2):
        rejects = Rejects("skip")
        faces = ADAPTERS["disfa"].open(root, "mine", 0, rejects)
        made = write_parts(ADAPTERS["disfa"], faces, Preprocessing(SIZE), work, rejects)
        found.append(rejects.to_table().to_pylist())
        assert made.faces == 11 and made.thinned == 0
    assert found[0] == found[1] and len(found[0]) == 1
    with pytest.raises(FacsimileError, match="is empty"):
        write(root, work)


def test_frames_like_the_one_before_are_thinned(tmp_path: Path) -> None:
    root = write_disfa_videos(tmp_path / "disfa", frames=8)
    labels = root / "ActionUnit_Labels" / "SN002" / "SN002_au12.txt"
    labels.write_text("".join(f"{n},{int(n > 6)}\n" for n in range(1, 9)))
    # 2 and 3 creep away from 1, 4 differs from 1 but not from 3, 5 and 6 are 4, 7 has other labels.
    greys = [100, 101, 102, 103, 103, 103, 103, 103]
    still = [shade(grey) for grey in greys]
    write_video(root / "Videos_LeftCamera" / "LeftVideoSN002_comp.avi", still)
    made = write(root, tmp_path / "work", thin=2.5 / 255)
    assert (made.faces, made.thinned) == (19, 5)
    faces = read(root, thin=2.5 / 255)[0]
    kept = faces.loc[faces["subject_id"] == "SN002", "sample_id"].str[-1]
    assert kept.tolist() == ["1", "4", "7"]
    assert write(root, tmp_path / "work").thinned == 0


# Splits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("people", "count"), [(27, 3), (20, 3), (5, 2), (10, 10)])
def test_folds_partition_the_people(people: int, count: int) -> None:
    subjects = pd.Series([f"SN{n:03d}" for n in range(people)])
    folds = [
        dict(zip(subjects, draw_splits(subjects, 7, "mine", SubjectFold(count, n)), strict=True))
        for n in range(count)
    ]
    tested = [[name for name, split in fold.items() if split == "test"] for fold in folds]
    assert sorted(name for fold in tested for name in fold) == sorted(subjects)
    assert max(map(len, tested)) - min(map(len, tested)) <= 1
    assert all(set(fold.values()) == {"train", "val", "test"} for fold in folds)


@pytest.mark.parametrize(("adapter", "people"), [("disfa", 27), ("bp4d", 41)])
def test_published_folds(adapter: str, people: int) -> None:
    groups = published_groups("jaa-net", adapter)
    subjects = pd.Series(sorted(name for group in groups for name in group))
    assert len(groups) == 3
    assert len(set(subjects)) == len(subjects) == people
    for n, group in enumerate(groups):
        splits = draw_splits(subjects, 7, "mine", SubjectFold(3, n, groups))
        assert set(subjects[splits == "test"]) == group
        assert (splits == "val").sum() == max(1, round(SPLIT_SHARES["val"] * people))
    with pytest.raises(FacsimileError, match="mine: X01 is in none of the published groups"):
        draw_splits(pd.Series([*subjects, "X01"]), 7, "mine", SubjectFold(3, 0, groups))


def test_too_few_people_for_a_fold() -> None:
    subjects = pd.Series(["a", "b", "c"])
    with pytest.raises(FacsimileError, match=r"mine: 3 subjects \(a, b, c\) cannot .* fold 0 of 2"):
        draw_splits(subjects, 0, "mine", SubjectFold(2, 0))
    with pytest.raises(FacsimileError, match="fold 3 of 4"):
        draw_splits(subjects, 0, "mine", SubjectFold(4, 3))


def test_people_keep_the_split_that_they_have_in_another_dataset() -> None:
    known = {"SN001": "test", "SN002": "train", "elsewhere": "val"}
    subjects = pd.Series(["SN001", "SN002", "SN002"])
    assert draw_splits(subjects, 0, "mine", None, known).tolist() == ["test", "train", "train"]
    more = pd.Series([*subjects, *(f"new {n}" for n in range(20))])
    drawn = draw_splits(more, 0, "mine", None, known)
    assert drawn[:3].tolist() == ["test", "train", "train"]
    assert drawn[3:].value_counts().to_dict() == {"train": 12, "test": 5, "val": 3}
