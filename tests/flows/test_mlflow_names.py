"""Names that MLflow takes."""

import itertools

import pytest
from mlflow.utils.validation import (
    _validate_metric_name,
    _validate_param_name,
    _validate_tag_name,
)

from flows.mlflow_names import decode, encode

ODD = (
    "",
    ".",
    "..",
    "/a",
    "a//b",
    "a/",
    "é\n",
    "50 %, a=b",
    "x\tý",
    "::",
    ":plus:",
    ":x2b:",
    "日本",
)
COMBINED = tuple("".join(parts) for parts in itertools.product("./:+x", repeat=5))


def accepted(name: str) -> str:
    text = encode(name)
    for validate in (_validate_metric_name, _validate_param_name, _validate_tag_name):
        validate(text)
    return text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f1.real.mean", "f1.real.mean"),
        ("f1.real+generated.mean", "f1.real:plus:generated.mean"),
        ("dvc.deps.data/ingest", "dvc.deps.data/ingest"),
        ("a #1", "a :hash:1"),
    ],
)
def test_names_stay_readable(name: str, text: str) -> None:
    assert accepted(name) == text


def test_every_name_is_accepted_and_comes_back() -> None:
    names = (*ODD, *COMBINED)
    assert [decode(accepted(name)) for name in names] == list(names)


def test_long_names_stay_distinct() -> None:
    names = [f"{'+' * 300}{end}" for end in "ab"]
    assert len({accepted(name) for name in names}) == 2


def test_names_of_others_stay() -> None:
    assert decode("a:b :nothing: c") == "a:b :nothing: c"
