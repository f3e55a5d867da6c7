"""What a release says about itself, gathered by whoever makes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from facsimile.errors import FacsimileError
from facsimile.release.terms import CC0, Terms
from facsimile.report import Evidence


@dataclass(frozen=True)
class Licence:
    """A licence: its identifier at the Hugging Face hub ("other" for any it does not know)."""

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
"""Licences known by name; any other one is named by its address."""


def find_licence(text: str) -> Licence:
    """A key of ``LICENCES`` or the https address of a licence.

    Raises:
        FacsimileError: it is neither.
    """
    if text.startswith("https://"):
        return Licence("other", text, text)
    if text not in LICENCES:
        known = ", ".join(LICENCES)
        raise FacsimileError(f"no licence {text!r}; give one of {known}, or its https address")
    return LICENCES[text]


@dataclass(frozen=True)
class Source:
    """A dataset that released faces come from.

    Attributes:
        name: of the dataset.
        uses: what was made of it.
        terms: those it comes under.
        permitted: whether whoever made the release said that the terms allow it.
    """

    name: str
    uses: tuple[str, ...]
    terms: Terms
    permitted: bool = False


@dataclass(frozen=True)
class StageFacts:
    """How one stage ran that the faces went through, as far as that was recorded.

    Attributes:
        name, command: of the stage.
        params: dotted name → value.
        reads, writes: path → MD5.
        run: id of its MLflow run; None where there is none.
        revision: git commit of its code; None where it is not known.
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
    """What is said of a release beside what its faces say.

    Attributes:
        name: of the dataset.
        licence: under which it is published.
        sources: datasets it was made of.
        evidence: metrics of the evaluation, empty where nothing was measured on these faces; table
            ``au_counts`` (origin, au, active) holds real and released faces.
        stages: in the order in which they ran.
        stale: stage → what has changed since it ran; such faces do not come out again as they are.
    """

    name: str
    licence: Licence
    sources: tuple[Source, ...]
    evidence: Evidence
    stages: tuple[StageFacts, ...] = ()
    stale: Mapping[str, list[str]] = field(default_factory=dict)

    def stage(self, name: str) -> StageFacts | None:
        """What is known of one stage."""
        return next((stage for stage in self.stages if stage.name == name), None)
