"""params.yaml as types: what is wrong is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facsimile.errors import FacsimileError
from tasks.params import read_params


def test_project_params_are_valid(write_params: Callable[..., Path]) -> None:
    sections = read_params(write_params())
    assert sections["edit"].intensity == (0.3, 1.0)
    assert sections["datasets"].all == ("world-disfa", "world-celeba", "world-feafa", "world-bp4d")


def test_single_intensity(write_params: Callable[..., Path]) -> None:
    assert read_params(write_params({"edit.intensity": 0.5}))["edit"].intensity == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edit.intensty": 0.5}, "edit.intensty: unknown key"),
        ({"edit.seed": None}, "edit.seed: missing"),
        ({"edit.intensity": 1.4}, "edit.intensity: 1.4 is not within 0 < low ≤ high ≤ 1"),
        ({"edit.intensity": [0.9, 0.2]}, "edit.intensity: (0.9, 0.2) is not within"),
        ({"edit.aus": ["AU1"]}, "edit.aus: 'AU1' is no Action Unit, allowed: AU01, AU02"),
        ({"synthesize.aus": []}, "synthesize.aus: needs at least one Action Unit"),
        ({"sampling.steps": "many"}, "sampling.steps: input should be a valid integer"),
        ({"train.arms": ["reel"]}, "train.arms.0: input should be 'real', 'real+edited'"),
        ({"encode.neutral_per_subject": {"trian": 1}}, "encode.neutral_per_subject.trian"),
        ({"edits": {}}, "unknown section 'edits'"),
        ({"datasets.aus": "disfa"}, "datasets: 'disfa' is neither under ingest.faces nor"),
        ({"ingest.paths": {"world-disfa": "x"}}, "world-disfa is both under faces and under paths"),
    ],
)
def test_what_is_wrong_is_named(
    write_params: Callable[..., Path], changes: dict[str, Any], message: str
) -> None:
    path = write_params(changes)
    with pytest.raises(FacsimileError) as caught:
        read_params(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_every_problem_is_told_at_once(write_params: Callable[..., Path]) -> None:
    path = write_params({"filter.min_jaccard": 2, "train.seeds": []})
    with pytest.raises(FacsimileError, match=r"filter\.min_jaccard: .*; train\.seeds: "):
        read_params(path)


def test_file_that_is_no_yaml(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("edit: [")
    with pytest.raises(FacsimileError, match=r"params\.yaml: not a readable YAML file"):
        read_params(path)
