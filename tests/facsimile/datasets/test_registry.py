"""The registry of adapters: one more entry, and ingest, releases and docs have it."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from facsimile.adapter_modules import ADAPTER_MODULES
from facsimile.datasets import ADAPTERS, Adapter, Preprocessing, Rejects, adapter_table, recognise
from facsimile.datasets.adapter import image_files
from facsimile.datasets.terms import agreement
from facsimile.release import LICENCES
from flows.release import terms_of
from tasks.params import IngestParams

ROOT = Path(__file__).parents[3]


def annotate(path: Path, dataset: str, rejects: Rejects) -> pd.DataFrame:
    """One face for each picture, a person each."""
    names = sorted(file.name for file in path.glob("*.png"))
    rows = pd.DataFrame({"image_path": names, "subject_id": names, "AU12": 0.5})
    return rows.assign(
        sample_id=[f"{dataset}/{name}" for name in names], file=str(path / "toy.txt"), line=None
    )


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Adapter:
    """One more adapter."""
    adapter = Adapter(
        lambda path: (path / "toy.txt").exists(),
        annotate,
        image_files,
        reads="a folder with `toy.txt`",
        labels="AU12",
        terms=agreement("toys only", "https://example.org/toys"),
        image_column="image",
    )
    monkeypatch.setitem(ADAPTER_MODULES, "toy", "toy")
    monkeypatch.setitem(ADAPTERS, "toy", adapter)
    return adapter


def test_a_new_adapter_is_known_everywhere(toy: Adapter, tmp_path: Path) -> None:
    (tmp_path / "toy.txt").touch()
    for n in range(4):
        picture = Image.linear_gradient("L").rotate(90 * n).convert("RGB")
        picture.save(tmp_path / f"{n}.png")
    assert recognise(tmp_path) == "toy"
    rejects = Rejects("raise")
    annotations = toy.open(tmp_path, "toys", 0, rejects)
    [faces] = toy.faces(annotations, Preprocessing(size=8), rejects)
    assert faces["AU12"].to_pylist() == [0.5] * 4
    for source in ({"root": tmp_path}, {"root": tmp_path, "adapter": "toy"}):
        ingest = IngestParams(seed=0, size=8, paths={"toys": source})
        assert terms_of("toys", ingest) == toy.terms
    assert "| [`toy`](https://example.org/toys) | a folder with `toy.txt` | AU12 |" in (
        adapter_table()
    )


def test_the_documentation_lists_the_adapters() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(adapter_table() in page.read_text(encoding="utf-8") for page in pages), (
        f"put this table into the documentation:\n{adapter_table()}"
    )


def test_licences_of_adapters_are_known() -> None:
    assert {adapter.terms.licence for adapter in ADAPTERS.values()} - {None} <= LICENCES.keys()
