"""params.yaml as types: what is wrong is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from facsimile.datasets.table_values import SCALES
from facsimile.errors import FacsimileError
from tasks.params import SourceParams, read_params


def test_project_params_are_valid(write_params: Callable[..., Path]) -> None:
    sections = read_params(write_params())
    assert sections["edit"].intensity == (0.3, 1.0)
    assert sections["datasets"].all == ("world-disfa", "world-celeba", "world-feafa", "world-bp4d")


def test_single_intensity(write_params: Callable[..., Path]) -> None:
    assert read_params(write_params({"edit.intensity": 0.5}))["edit"].intensity == 0.5


def test_dataset_of_your_own(write_params: Callable[..., Path]) -> None:
    paths = {"one": "faces.csv", "two": {"adapter": "disfa", "root": "DISFA"}}
    section = read_params(write_params({"ingest.paths": paths}))["ingest"]
    assert section.paths["one"] == SourceParams(root=Path("faces.csv"))
    assert section.paths["two"] == SourceParams(root=Path("DISFA"), adapter="disfa")


def test_scales_are_those_of_the_library() -> None:
    choices, _ = get_args(SourceParams.model_fields["scale"].annotation)
    assert get_args(choices) == tuple(SCALES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edit.intensty": 0.5}, "edit.intensty: unknown key"),
        ({"edit.seed": None}, "edit.seed: missing"),
        ({"edit.intensity": 1.4}, "edit.intensity: 1.4 is not within 0 < low ≤ high ≤ 1"),
        ({"edit.intensity": [0.9, 0.2]}, "edit.intensity: (0.9, 0.2) is not within"),
        ({"edit.aus": ["AU1"]}, "edit.aus: 'AU1' is not an Action Unit; allowed: AU01, AU02"),
        ({"synthesize.aus": []}, "synthesize.aus: needs at least one Action Unit"),
        ({"sampling.solver": "euler"}, "sampling.solver: input should be 'ddim' or 'dpm++'"),
        ({"sampling.dtype": "fp8"}, "sampling.dtype: input should be 'float32', 'bfloat16' or"),
        ({"sampling.steps": "many"}, "sampling.steps: input should be a valid integer"),
        (
            {"train.arms": ["reel"]},
            "train.arms.0: 'reel' is not a training arm; allowed: real",
        ),
        ({"encode.neutral_per_subject": {"trian": 1}}, "encode.neutral_per_subject.trian"),
        (
            {"encode.neutral_per_subject": {"val": 4}, "neutral.faces": 0},
            "encode.neutral_per_subject.train and neutral.faces are both 0",
        ),
        ({"fidelity.strengths": [0.5]}, "fidelity.strengths: (0.5,) must contain 1"),
        ({"edits": {}}, "unknown section 'edits'"),
        ({"datasets.aus": "disfa"}, "datasets: 'disfa' is neither under ingest.faces nor"),
        ({"ingest.paths": {"world-disfa": "x"}}, "world-disfa is both under faces and under paths"),
        ({"ingest.paths": {"faces": "x"}}, "'faces' is the name of a total in metrics.json"),
        ({"ingest.paths": {"me": {"adapter": "disfa"}}}, "ingest.paths.me.root: missing"),
        (
            {"ingest.paths": {"me": {"root": "x", "adapter": "excel"}}},
            "ingest.paths.me.adapter: 'excel' is not an adapter; allowed: table, disfa, disfa-plus",
        ),
        ({"ingest.align": {"me": "columns"}}, "me is under align, but not under paths"),
        (
            {"ingest.paths": {"me": "x"}, "ingest.align": {"me": "mtcnn"}},
            "ingest.align.me: string should match pattern",
        ),
        (
            {"ingest.paths": {"me": {"root": "x", "crop": "left"}}},
            "ingest.paths.me.crop: input should be 'center'",
        ),
        (
            {"ingest.paths": {"me": "x"}, "ingest.fold": {"count": 3, "index": 3}},
            "ingest.fold: index 3 is not below count 3",
        ),
        (
            {"ingest.paths": {"me": "x"}, "ingest.fold": {"published": "loso", "index": 0}},
            "ingest.fold.published: 'loso' is not a published split; allowed: jaa-net",
        ),
        (
            {"ingest.paths": {"me": "x"}, "ingest.fold": {"index": 0}},
            "ingest.fold: either count or published is needed",
        ),
        ({"ingest.fold": {"count": 3, "index": 0}}, "ingest: fold applies to datasets under paths"),
        (
            {"ingest.paths": {"me": {"root": "x", "scale": "1-5"}}},
            "ingest.paths.me.scale: input should be '0-1', '0-5', '0-100' or 'percent'",
        ),
        (
            {"ingest.paths": {"../../x": "faces.csv"}},
            "ingest.paths.../../x: '../../x' is not a dataset name: use letters, digits",
        ),
        ({"ingest.paths": {".x": "faces.csv"}}, "ingest.paths..x: '.x' is not a dataset name"),
        ({"ingest.faces": {"a/b": 3}}, "ingest.faces.a/b: 'a/b' is not a dataset name"),
        ({"datasets.aus": "/tmp/x"}, "datasets.aus: '/tmp/x' is not a dataset name"),
        ({"datasets.tests": ["ok", "x\n"]}, "datasets.tests.1: 'x\\n' is not a dataset name"),
        ({"ingest.on_error": "ignore"}, "ingest.on_error: input should be 'raise' or 'skip'"),
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


def test_all_problems_are_reported_at_once(write_params: Callable[..., Path]) -> None:
    path = write_params({"filter.min_jaccard": 2, "train.seeds": []})
    with pytest.raises(FacsimileError, match=r"filter\.min_jaccard: .*; train\.seeds: "):
        read_params(path)


def test_file_that_is_no_yaml(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("edit: [")
    with pytest.raises(FacsimileError, match=r"params\.yaml: not a readable YAML file"):
        read_params(path)
