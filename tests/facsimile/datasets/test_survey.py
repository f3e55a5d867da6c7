"""Pictures are opened, some are decoded, and none is converted."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from facsimile.datasets import Preprocessing, Rejects, disfa, survey, survey_pictures, table

from .trees import pixels, write_disfa_videos, write_image


def annotations(folder: Path, count: int) -> pd.DataFrame:
    """One picture for each of `count` people."""
    lines = []
    for n in range(count):
        write_image(folder / f"{n}.png", pixels(n, 8 + n % 2, 8 + n % 2))
        lines.append(f"{n}.png,p{n},0")
    path = folder / "faces.csv"
    path.write_text("\n".join(["image_path,subject_id,AU12", *lines]))
    return table.ADAPTER.open(path, "mine", 0, Rejects())


def test_sizes_of_all_pictures_are_counted(tmp_path: Path) -> None:
    rows, rejects, done = annotations(tmp_path, 5), Rejects("skip"), []
    faces, pictures = survey_pictures(table.ADAPTER, rows, Preprocessing(8), rejects, done.append)
    assert pictures.sizes == {(8, 8): 3, (9, 9): 2} and not pictures.videos
    assert len(faces) == sum(done) == pictures.prepared == 5 and not len(rejects)


def test_damage_is_seen_only_where_pictures_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = annotations(tmp_path, 9)
    for n in range(9):
        path = tmp_path / f"{n}.png"
        path.write_bytes(path.read_bytes()[:60])  # the header is whole
    for most in (9, 3):
        monkeypatch.setattr(survey, "PREPARED", most)
        rejects = Rejects("skip")
        faces, pictures = survey_pictures(table.ADAPTER, rows, Preprocessing(8), rejects)
        assert len(rejects) == pictures.prepared == most and len(faces) == 9 - most
    assert [found.value for found in rejects.found] == ["0.png", "4.png", "8.png"]
    ((first, *others),) = rejects.by_reason()
    assert len(others) == 2 and first.value == "0.png"


def test_wrong_shapes_are_seen_without_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "PREPARED", 1)
    rows, rejects = annotations(tmp_path, 3), Rejects("skip")
    for n in (1, 2):
        Image.new("RGB", (8, 5 + n)).save(tmp_path / f"{n}.png")
    faces, _ = survey_pictures(table.ADAPTER, rows, Preprocessing(8), rejects)
    assert len(faces) == 1
    ((first, _),) = rejects.by_reason()
    assert str(first).endswith("1.png is 8 × 6, but aligned faces are square")
    rejects = Rejects("skip")
    faces, _ = survey_pictures(table.ADAPTER, rows, Preprocessing(8, crop=True), rejects)
    assert len(faces) == 3


def test_of_a_video_the_first_labelled_frame_is_read(tmp_path: Path) -> None:
    write_disfa_videos(tmp_path)
    rows = disfa.ADAPTER.open(tmp_path, "disfa", 0, Rejects())
    broken = rows["image_path"].iat[0]
    faces, pictures = survey_pictures(disfa.ADAPTER, rows, Preprocessing(8), Rejects("skip"))
    assert pictures.videos and pictures.sizes == {(8, 8): 3} and len(faces) == len(rows) == 12
    Path(broken).write_bytes(b"no video")
    rejects = Rejects("skip")
    faces, _ = survey_pictures(disfa.ADAPTER, rows, Preprocessing(8), rejects)
    assert len(faces) == 8 and len(rejects) == 1
