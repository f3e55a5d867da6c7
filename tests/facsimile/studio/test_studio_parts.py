"""Who is on the page of the studio, its Python lines, and its choice of threads."""

import ast
import itertools

import numpy as np
import pytest
import torch

from facsimile.faces.aus import AUS
from facsimile.generator import InferenceOptions
from facsimile.studio import (
    PictureFile,
    Recipe,
    SampledPerson,
    TableFace,
    choose_people,
    safe_file_name,
    use_fastest_threads,
)
from tests.support.faces import face_table


def recipe(face: PictureFile | TableFace | SampledPerson, **changes: object) -> Recipe:
    values = {
        "face": face,
        "levels": {},
        "reference": None,
        "method": "",
        "editor": "data/editor",
        "generator": "data/generator",
        "reader": "data/baseline",
        "options": InferenceOptions("dpm++", 10, 50),
        "device": "cpu",
        "size": 64,
    }
    return Recipe(**values | changes)


def test_held_out_people_are_shown_at_rest_and_active() -> None:
    ids = [f"mine/p{person}/{frame}" for person in range(4) for frame in range(3)]
    faces = face_table(ids, split=["test"] * 9 + ["train"] * 3)
    faces.loc[[1, 5, 6], "AU12"] = 0.8
    faces.loc[2, "AU04"] = 0.3
    faces.loc[7, list(AUS)] = np.nan
    chosen = choose_people(faces, 10)
    assert list(chosen["sample_id"]) == [ids[n] for n in (0, 3, 7, 1, 5, 6)]
    assert list(chosen["kind"]) == ["at rest"] * 3 + ["expressive"] * 3
    assert set(choose_people(faces, 2)["subject_id"]) == {"mine/p0", "mine/p2"}
    assert list(choose_people(faces.head(1), 2)["kind"]) == ["at rest"]


@pytest.mark.parametrize("name", ['o\'neil "x".png', "😀.png", "a\\nb\n.png", '"); exit("'])
def test_names_of_files_stay_texts(name: str) -> None:
    tree = ast.parse(recipe(PictureFile(name, crop=True)).python())
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert name in texts


def test_python_lines_are_complete_and_short() -> None:
    lines = recipe(
        SampledPerson("female", "old", 3),
        reference=PictureFile("a.png", landmarks="finder:find"),
        options=InferenceOptions("ddim", 20, 50, torch.bfloat16),
        device="cuda",
    ).python()
    tree = ast.parse(lines)
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert imported <= used and "dtype=torch.bfloat16" in lines and '"cuda"' in lines


def test_the_command_says_only_what_it_can_do() -> None:
    face = TableFace("data/ingest/mine", "mine/SN 1/0")
    assert recipe(face).command() == ""
    assert recipe(face, levels={"AU12": 1.2}).command() == ""
    assert recipe(face, levels={"AU12": 0.8, "AU04": 0.0}, method="relative").command() == (
        "facsimile edit mine-SN-1-0.png --au AU04=0 --au AU12=0.8 --method relative -o edited.png"
    )
    like = PictureFile("my face.png", crop=True, landmarks="finder:find")
    assert recipe(face, reference=like).command() == (
        "facsimile transfer mine-SN-1-0.png --like 'my face.png' --align finder:find --crop "
        "-o edited.png"
    )


def test_uploads_have_no_folder() -> None:
    assert safe_file_name("../../etc/passwd") == "passwd"
    assert safe_file_name("C:\\fakepath\\a.png") == "a.png"
    assert safe_file_name("..") == safe_file_name("") == "face.png"


@pytest.mark.parametrize(("seconds", "expected"), [((1, 5), 1), ((5, 1), 2)])
def test_threads_are_those_that_take_less_time(seconds: tuple[int, int], expected: int) -> None:
    before = torch.get_num_threads()
    # The clock is read before and after the work with one thread, then with two.
    clock = itertools.accumulate([0, seconds[0], 0, seconds[1]])
    try:
        torch.set_num_threads(2)
        assert use_fastest_threads(lambda: None, lambda: next(clock)) == expected
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
