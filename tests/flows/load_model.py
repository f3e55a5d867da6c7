"""Loads a model in a process that can import only what its requirements bring, and uses it.

    python -P load_model.py MODEL FOLDER CHECKOUT

Reads faces.parquet, writes predictions.parquet and report.json in FOLDER.
"""

import importlib.metadata
import json
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path

model_uri, folder, checkout = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])


def normal(name: str) -> str:
    """A name of a distribution as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required(names: list[str]) -> set[str]:
    """Distributions that an installation of `names` brings, in normal form."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = normal(re.split(r"[^\w.-]", waiting.pop())[0])
        if name in found:
            continue
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        found.add(name)
        waiting += [line for line in requires if "extra ==" not in line]
    return found


class OnlyRequired:
    """Finds no package of another distribution."""

    def __init__(self, allowed: set[str]) -> None:
        self.refused = {
            package
            for package, owners in importlib.metadata.packages_distributions().items()
            if package != "facsimile" and not {normal(owner) for owner in owners} & allowed
        }

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name.partition(".")[0] in self.refused:
            return None
        return PathFinder.find_spec(name, path, target)


# The checkout is on the path of the tests' environment.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != checkout]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]

import mlflow  # noqa: E402
import pandas as pd  # noqa: E402

local = Path(mlflow.artifacts.download_artifacts(model_uri))
lines = (local / "requirements.txt").read_text().splitlines()
assert all("==" in line for line in lines), lines
sys.meta_path[sys.meta_path.index(PathFinder)] = OnlyRequired(required(lines))

model = mlflow.pyfunc.load_model(str(local))
example = model.predict(model.input_example)
predictions = model.predict(pd.read_parquet(folder / "faces.parquet"))
predictions.to_parquet(folder / "predictions.parquet")
report = {
    "inputs": model.metadata.get_input_schema().input_names(),
    "outputs": model.metadata.get_output_schema().input_names(),
    "metadata": model.metadata.metadata,
    "example_error": example["error"][0],
    "code": sys.modules["facsimile"].__file__,
}
(folder / "report.json").write_text(json.dumps(report))
