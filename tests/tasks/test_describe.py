"""Stage `describe`: faces from prompts, or none without prompts."""

from pathlib import Path

import pytest

from facsimile.errors import FacsimileError
from facsimile.faces.tables import read_faces, read_table
from tasks import describe
from tasks.params import DescribeParams, SamplingParams, read_section
from tasks.shared.stage import Compute
from tests.support.describing import write_describer
from tests.support.editing import write_models

COMPUTE = Compute("cpu", 4, 1)
SAMPLING = SamplingParams(solver="dpm++", steps=2, prior_steps=2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(out: Path, prompts: list[str]) -> dict:
    return describe.run(out, COMPUTE, SAMPLING, DescribeParams(prompts=prompts, each=5, seed=0))


def test_faces_of_all_prompts(folder: Path) -> None:
    write_models(folder)
    write_describer(folder)
    metrics = run(folder / "out", ["neutral, men", "neutral, old women"])
    assert metrics["described"] == 10 and metrics["prompt_jaccard"] == 1
    faces = read_faces(folder / "out" / "faces").set_index("sample_id")
    words = read_table(folder / "out" / "words").set_index("sample_id")
    people = read_table(folder / "out" / "people").set_index("sample_id")
    assert set(faces["origin"]) == {"described"} and faces["male"].tolist() == [1] * 5 + [0] * 5
    assert words.loc["described/1/00004", "prompt"] == "neutral, old women"
    assert set(faces["source_id"]) == set(people.index) and metrics["people"] == len(people)


def test_without_prompts_nothing_is_needed(folder: Path) -> None:
    assert run(folder / "out", []) == {"described": 0}
    assert read_faces(folder / "out" / "faces").empty and read_table(folder / "out" / "words").empty


def test_prompts_that_are_not_understood_are_errors_of_params(folder: Path) -> None:
    params = folder / "params.yaml"
    params.write_text("describe: {prompts: [happy, smirk], each: 5, seed: 0}\n")
    with pytest.raises(FacsimileError, match=r"describe.prompts.1: prompt 'smirk': 'smirk' is not"):
        read_section(params, "describe", DescribeParams)
