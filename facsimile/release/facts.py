"""Facts that a release states about itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from facsimile.datasets.terms import CC0, Terms
from facsimile.errors import FacsimileError
from facsimile.report import Evidence


@dataclass(frozen=True)
class Licence:
    """A licence; the identifier is that of the Hugging Face hub, or "other"."""

    identifier: str
    name: str
    url: str


_CC = "https://creativecommons.org/licenses"

LICENCES: dict[str, Licence] = {
    licence.identifier: licence
    for licence in (
        Licence("cc0-1.0", "CC0 1.0", CC0),
        Licence("cc-by-4.0", "CC BY 4.0", f"{_CC}/by/4.0/"),
        Licence("cc-by-sa-4.0", "CC BY-SA 4.0", f"{_CC}/by-sa/4.0/"),
        Licence("cc-by-nc-4.0", "CC BY-NC 4.0", f"{_CC}/by-nc/4.0/"),
        Licence("cc-by-nc-sa-4.0", "CC BY-NC-SA 4.0", f"{_CC}/by-nc-sa/4.0/"),
    )
}
"""Licences that can be given by identifier; other licences are given by URL."""


def find_licence(text: str) -> Licence:
    """The licence with this identifier (a key of ``LICENCES``) or https address.

    Raises:
        FacsimileError: `text` is neither.
    """
    if text.startswith("https://"):
        return Licence("other", text, text)
    if text not in LICENCES:
        allowed = ", ".join(LICENCES)
        raise FacsimileError(f"no licence {text!r}; give one of {allowed}, or its https address")
    return LICENCES[text]


@dataclass(frozen=True)
class SourceDataset:
    """A dataset that released faces derive from.

    Attributes:
        name: name of the dataset.
        uses: how it was used.
        terms: its terms of use.
        permitted: whether the publisher stated that the terms allow the release.
    """

    name: str
    uses: tuple[str, ...]
    terms: Terms
    permitted: bool = False


@dataclass(frozen=True)
class StageFacts:
    """Recorded facts about one stage that produced the faces.

    Attributes:
        name, command: name and command of the stage.
        params: dotted name → value.
        reads, writes: path → MD5.
        run: id of its MLflow run; None if there is none.
        revision: git commit of its code; None if unknown.
    """

    name: str
    command: str
    params: Mapping[str, Any] = field(default_factory=dict)
    reads: Mapping[str, str] = field(default_factory=dict)
    writes: Mapping[str, str] = field(default_factory=dict)
    run: str | None = None
    revision: str | None = None


@dataclass(frozen=True)
class Release:
    """Facts about a release, apart from its faces.

    Attributes:
        name: name of the dataset.
        licence: licence of the publication.
        sources: datasets that the faces derive from.
        evidence: metrics of the evaluation, empty if nothing was measured on these faces; table
            ``au_counts`` (origin, au, active) covers real and released faces.
        stages: stages that produced the faces, in order.
        stale: stage → changes since it ran, which make its faces irreproducible.
        version: name of the published version that has these faces; empty if there is none.
        version_commit: git commit of that version.
    """

    name: str
    licence: Licence
    sources: tuple[SourceDataset, ...]
    evidence: Evidence
    stages: tuple[StageFacts, ...] = ()
    stale: Mapping[str, list[str]] = field(default_factory=dict)
    version: str = ""
    version_commit: str = ""

    def stage(self, name: str) -> StageFacts | None:
        """Facts about one stage; None if not recorded."""
        return next((stage for stage in self.stages if stage.name == name), None)
