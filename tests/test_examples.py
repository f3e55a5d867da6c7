"""The notebook of `examples` runs, on rendered faces and on a table in the layout of a release."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from facsimile.world import write_faces

NOTEBOOK = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("released", [False, True], ids=["rendered", "released"])
def test_quickstart(released: bool, tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    setting = notebook.cells[1]
    assert "FACES = None" in setting.source
    if released:
        write_faces(tmp_path / "faces", "world-disfa", 300, 64, seed=1, workers=1)
        (tmp_path / "data").mkdir()
        shard = tmp_path / "faces" / "part-00000.parquet"
        shard.rename(tmp_path / "data" / "train-00000-of-00001.parquet")
        setting.source = setting.source.replace("FACES = None", f"FACES = Path({str(tmp_path)!r})")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    folder = {"metadata": {"path": str(NOTEBOOK.parent)}}
    done = NotebookClient(notebook, timeout=600, resources=folder).execute()
    counted = "".join(output.text for output in done.cells[3].outputs if "text" in output)
    assert ("300 faces" if released else "900 faces of 27 people") in counted
    pictures = [out for out in done.cells[-1].outputs if "image/png" in out.get("data", {})]
    assert len(pictures) == 1
