"""Missing labels of ingested datasets are reported together, with dataset, split and remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import FACE_SCHEMA, write_shards
from tasks.helpers import readiness
from tests.support.faces import face_table

Change = Callable[[pd.DataFrame], pd.DataFrame]


def mine() -> pd.DataFrame:
    """Two faces of five people: a neutral one, and one that shows AU04."""
    people = [f"p{n // 2}" for n in range(10)]
    splits = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    return rows("mine", people, splits).assign(AU04=[0, 0.5] * 5, AU12=0.0)


def people() -> pd.DataFrame:
    """Two faces of eight people."""
    n = np.arange(16)
    attributes = {"eyeglasses": n % 2, "beard": n % 2, "male": n // 2 % 2, "age": n // 4 % 2}
    return rows("people", [f"q{k // 2}" for k in n], ["train"] * 16).assign(**attributes)


def rows(dataset: str, people: list[str], splits: list[str]) -> pd.DataFrame:
    ids = [f"{dataset}/{n}" for n in range(len(people))]
    return face_table(ids, aus=np.nan, dataset=dataset, subject_id=people, split=splits)


@pytest.fixture
def check(
    tmp_path: Path, write_params: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Ingests changed tables into a project that uses them, which is the current folder."""
    monkeypatch.chdir(tmp_path)

    def ingest(aus: Change = lambda t: t, attributes: Change = lambda t: t, **more: Any) -> None:
        write_shards([aus(mine())], readiness.INGEST / "mine", FACE_SCHEMA)
        write_shards([attributes(people())], readiness.INGEST / "people", FACE_SCHEMA)
        for name, table in more.pop("tests", {}).items():
            write_shards([table], readiness.INGEST / name, FACE_SCHEMA)
            more.setdefault("datasets.tests", []).append(name)
        paths = {"mine": "m.csv", "people": "p.csv"} | dict.fromkeys(
            more.get("datasets.tests", ()), "t.csv"
        )
        changes = {"datasets.aus": "mine", "datasets.attributes": "people", "datasets.tests": []}
        write_params(changes | {"ingest.paths": paths} | more)

    return ingest


def test_complete_labels_pass(
    check: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    check()
    readiness.require()
    readiness.report(readiness.INGEST)
    others = ", ".join(au for au in AUS if au not in ("AU04", "AU12"))
    assert capsys.readouterr().err.splitlines() == [
        f"mine: uses AU04; skipped: {others}: not annotated; AU12: on no annotated face"
    ]


@pytest.mark.parametrize(
    ("aus", "line"),
    [
        (lambda t: t.assign(AU04=np.nan, AU12=np.nan), "mine: split train: AU01, .* not annotated"),
        (
            lambda t: t.assign(AU04=0.0),
            "AU04, AU12: on no annotated face; annotate an AU as absent",
        ),
        (lambda t: t[t["split"] != "val"], "mine: split val: no faces; at least four people"),
        (lambda t: t[t["subject_id"].isin(["p0", "p3", "p4"])], "split train: only one person"),
        (
            lambda t: t[(t["split"] != "val") | (t["AU04"] > 0)],
            r"mine: split val: too few neutral faces \(0, .*\), which are annotated for all",
        ),
        (
            lambda t: t[(t["split"] != "train") | (t["AU04"] > 0) | (t.index == 0)],
            r"mine: split train: too few neutral faces \(1, at least 2",
        ),
        (
            lambda t: t[(t["split"] != "val") | (t["AU04"] == 0)],
            "mine: split val: no face shows any of AU04; add faces",
        ),
        (
            lambda t: t.assign(AU04=t["AU04"].where(t["split"] != "test")),
            "mine: split test: no face is annotated for any of AU04",
        ),
    ],
)
def test_missing_aus(check: Callable[..., Any], aus: Change, line: str) -> None:
    check(aus=aus)
    with pytest.raises(FacsimileError, match=line):
        readiness.require()


@pytest.mark.parametrize(
    ("attributes", "line"),
    [
        (lambda t: t.assign(split="val"), "people: split train: no faces; add some, or name"),
        (lambda t: t.assign(male=1.0), "no face is labelled female; fill columns male, age"),
        (lambda t: t.assign(age=np.nan), "no face is labelled young, old; fill columns"),
        (
            lambda t: t.assign(beard=np.nan),
            "beard not annotated, .* remove it from the options of the editor",
        ),
        (
            lambda t: t[t["subject_id"] != "q7"],
            "7 people have several faces, but .* needs 8",
        ),
    ],
)
def test_missing_attributes(check: Callable[..., Any], attributes: Change, line: str) -> None:
    check(attributes=attributes)
    with pytest.raises(FacsimileError, match=f"people: split train: .*{line}|{line}"):
        readiness.require()


def test_unused_attributes_may_be_missing(check: Callable[..., Any]) -> None:
    lacking = {"attributes": lambda t: t.assign(beard=np.nan, eyeglasses=1.0)}
    check(**lacking, **{"editor.linear.project": ["male", "age"]})
    readiness.require()


def test_a_test_set_with_other_aus_is_reported_and_kept(
    check: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    other = rows("other", ["x", "y"], ["test", "test"]).assign(AU26=[0.0, 1.0])
    check(tests={"other": other})
    readiness.require()
    readiness.report(readiness.INGEST)
    assert "other: not annotated for any of AU04, so it is not scored" in capsys.readouterr().err


def test_ingest_reports_everything_that_is_missing(
    check: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    check(attributes=lambda t: t.assign(male=np.nan, beard=np.nan))
    readiness.report(readiness.INGEST)
    lines = [line for line in capsys.readouterr().err.splitlines() if "not enough" in line]
    assert len(lines) == 2 and "labelled female, male" in lines[0] and "beard" in lines[1]
