"""What has changed between two versions, or between a version and the working tree."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML  # DVC's parser, which reads 1e-3 as a number

from flows.version_contents import Contents, read_contents
from flows.versions import Version, VersionStore
from tasks.params import PARAMS
from tasks.provenance.dvc_files import leaves

DATASET = "dataset"


@dataclass(frozen=True)
class Change:
    """A value that differs.

    Attributes:
        name: name of the value.
        old, new: the two values; None where there is none.
    """

    name: str
    old: Any
    new: Any


@dataclass(frozen=True)
class VersionDiff:
    """Everything that differs between two states.

    Attributes:
        params: by dotted name.
        code: path → git's status letter of files that results depend on.
        other_files: the same for other files, such as documentation and tests.
        rows: numbers of faces as ``origin, AU or group``, and of each ingested dataset.
        figures: headline figures by dotted name.
    """

    params: tuple[Change, ...]
    code: Mapping[str, str]
    other_files: Mapping[str, str]
    rows: tuple[Change, ...]
    figures: tuple[Change, ...]

    @property
    def is_empty(self) -> bool:
        return not any((self.params, self.code, self.other_files, self.rows, self.figures))


def compare(root: Path, old: str, new: str | None = None) -> VersionDiff:
    """Compare two versions. Reads git only, except for the data of the working tree.

    Args:
        root: project folder.
        old: name of a version.
        new: name of another one; None for the working tree.

    Raises:
        FacsimileError: there is no such version, or a file of the working tree is unreadable.
    """
    store = VersionStore(root)
    before = store.find(old)
    after = store.find(new) if new else None
    contents = after.contents if after else read_contents(store.root)
    files = store.changed_files(before, after)
    code = store.read_by_stages(before, files)
    return VersionDiff(
        tuple(_changes(_params(store, before), _params(store, after))),
        {path: files[path] for path in code},
        {path: status for path, status in files.items() if path not in code},
        tuple(_changes(_rows(before.contents), _rows(contents), missing=0)),
        tuple(_changes(before.contents.figures, contents.figures)),
    )


def _params(store: VersionStore, version: Version | None) -> dict[str, Any]:
    text = store.read(version.name, PARAMS) if version else (store.root / PARAMS).read_bytes()
    return dict(leaves(YAML(typ="safe").load(text) or {}))


def _rows(contents: Contents) -> dict[str, int]:
    rows = {f"{DATASET} {name}": count for name, count in contents.datasets.items()}
    for origin, kinds in contents.rows.items():
        for counts in kinds.values():
            for name, count in counts.items():
                rows[origin if name == origin else f"{origin}, {name}"] = count
    return rows


def _changes(
    old: Mapping[str, Any], new: Mapping[str, Any], missing: int | None = None
) -> Iterator[Change]:
    for name in dict.fromkeys((*old, *new)):
        change = Change(name, old.get(name, missing), new.get(name, missing))
        if change.old != change.new:
            yield change
