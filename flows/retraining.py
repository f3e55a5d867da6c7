"""Retraining in continuous integration: what changed since a branch, and what came of it.

A retraining is worth it if params.yaml, dvc.yaml, dvc.lock or code that a stage depends on has
changed. Afterwards, the new detectors are compared with the champion (`flows.promotion`), and a
Markdown report says what changed, how the figures changed, and whether the challenger is promoted.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flows import dvc
from flows.graph import read_graph
from flows.model_registry import ModelRegistry
from flows.outputs import figures, headline
from flows.promotion import Decision, apply, judge
from flows.registration import register
from flows.versions import paths_within
from tasks.params import PARAMS
from tasks.provenance.dvc_files import LOCK, PIPELINE
from tasks.provenance.git import changed_since

if TYPE_CHECKING:
    from facsimile.detection.model_comparison import ModelComparison, PromotionRule
    from flows.pipeline_run import StageReport

METRICS = "data/evaluate/metrics.json"
_MOST_FILES = 20


@dataclass
class Retraining:
    """One retraining, from the change that caused it to the verdict.

    Attributes:
        base: the branch or commit it is compared with, as named by the user.
        commit: where the current branch left it.
        changes: files that the pipeline depends on and that differ from that commit.
        notes: what did not work, but does not prevent a verdict.
        stages: outcome of each stage; empty before the run.
        failure: why the run failed; empty if it did not.
        decision: about the challenger; None if there is none.
        promotes: whether a challenger that passes becomes the champion.
    """

    base: str
    commit: str
    changes: list[str]
    notes: list[str] = field(default_factory=list)
    stages: "Sequence[StageReport]" = ()
    failure: str = ""
    decision: Decision | None = None
    promotes: bool = True

    @property
    def verdict(self) -> str:
        """The result in one line."""
        if not self.changes:
            return "nothing to retrain"
        if self.failure:
            return f"failed: {self.failure}"
        if self.decision is None:
            return "no verdict"
        version = self.decision.challenger
        if not self.decision.passed:
            return f"{version} is refused"
        if self.decision.champion and self.decision.champion.number == version.number:
            return f"{version} is the champion already"
        return f"{version} is promoted" if self.promotes else f"{version} may be promoted"


def find_changes(root: Path, base: str) -> Retraining:
    """What changed since `base` that results depend on.

    Raises:
        FacsimileError: `base` is not a revision, or `root` has no pipeline.
    """
    graph = read_graph(root)
    stages = [graph.nodes[name]["stage"] for name in graph]
    outputs = {out for stage in stages for out in stage.outs if not stage.frozen}
    dependencies = {dep for stage in stages for dep in stage.deps} - outputs
    commit, files = changed_since(root, base)
    watched = (PARAMS, PIPELINE, LOCK, *dependencies)
    return Retraining(base, commit, paths_within(files, watched))


def decide(root: Path, retraining: Retraining, rule: "PromotionRule", promotes: bool) -> None:
    """Register the trained detectors, compare them with the champion, and apply the verdict.

    Args:
        root: project folder.
        retraining: receives the decision.
        rule: accepted losses.
        promotes: whether a challenger that passes becomes the champion.

    Raises:
        FacsimileError: the MLflow store does not respond, or a model cannot be loaded.
    """
    retraining.promotes = promotes
    version = register(root).version
    retraining.decision = judge(root, rule, str(version.number))
    if promotes or not retraining.decision.passed:
        apply(ModelRegistry(root), retraining.decision)


def write_report(root: Path, retraining: Retraining, path: Path, summary: Path | None) -> None:
    """Write the report.

    Args:
        root: project folder.
        retraining: what to report.
        path: Markdown file, with pictures.
        summary: file to append to as well, without pictures, which would not be found from there:
            the summary of a job.
    """
    text = "\n".join(_lines(root, retraining))
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = figures(root, "evaluate") if retraining.stages else []
    shown = [
        f"![{file.stem}]({os.path.relpath(file, path.parent)})"
        for file in pictures
        if file.suffix == ".png"
    ]
    path.write_text("\n".join([text, *shown, ""]))
    if summary:
        with summary.open("a") as file:
            file.write(f"{text}\n")


def _lines(root: Path, retraining: Retraining) -> Iterator[str]:
    yield f"# Retraining: {retraining.verdict}"
    yield ""
    if retraining.decision:
        yield from (f"- {reason}" for reason in retraining.decision.reasons)
    yield from (f"- {note}" for note in retraining.notes)
    yield ""
    yield f"Compared with `{retraining.base}` (commit {retraining.commit[:10]})."
    if not retraining.changes:
        yield "No params, code of a stage or dvc.lock has changed."
        return
    yield ""
    yield from _changed_files(retraining.changes)
    if retraining.decision and retraining.decision.comparison:
        yield from _detectors(retraining.decision.comparison)
    if retraining.stages and not retraining.failure:
        yield from _figures(root, retraining)
    if retraining.stages:
        yield from _stages(retraining.stages)


def _changed_files(files: Sequence[str]) -> Iterator[str]:
    yield "## Changes"
    yield ""
    yield from (f"- `{file}`" for file in files[:_MOST_FILES])
    if len(files) > _MOST_FILES:
        yield f"- and {len(files) - _MOST_FILES} more"
    yield ""


def _detectors(comparison: "ModelComparison") -> Iterator[str]:
    yield "## Challenger and champion"
    yield ""
    yield f"{str(comparison)[0].upper()}{str(comparison)[1:]}."
    yield ""
    yield "| AU | champion | challenger | difference |"
    yield "| --- | ---: | ---: | ---: |"
    for row in comparison.per_au.itertuples():
        yield f"| {row.Index} | {row.champion:.3f} | {row.challenger:.3f} | {row.difference:+.3f} |"
    yield ""
    yield "```mermaid"
    yield "xychart-beta"
    yield '  title "F1 on validation people: champion (line), challenger (bars)"'
    yield f"  x-axis [{', '.join(comparison.per_au.index)}]"
    yield '  y-axis "F1" 0 --> 1'
    for kind, name in (("bar", "challenger"), ("line", "champion")):
        yield f"  {kind} [{', '.join(f'{value:.3f}' for value in comparison.per_au[name])}]"
    yield "```"
    yield ""


def _figures(root: Path, retraining: Retraining) -> Iterator[str]:
    yield "## Headline figures"
    yield ""
    changes = dvc.metric_changes(root, retraining.commit, METRICS)
    # Only the names are needed; `headline` also selects them.
    shown = headline(dict.fromkeys(changes, 0.0)).keys() & changes.keys()
    rows = [name for name in changes if name in shown]
    if not rows:
        yield f"The same as those of `{retraining.base}`, or those are not in DVC's cache."
        yield ""
        return
    yield f"| figure | {retraining.base} | now | change |"
    yield "| --- | ---: | ---: | ---: |"
    for name in rows:
        old, new = changes[name]
        change = "" if old is None or new is None else f"{new - old:+.4f}"
        yield f"| {name} | {_number(old)} | {_number(new)} | {change} |"
    yield ""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _stages(reports: "Sequence[StageReport]") -> Iterator[str]:
    yield "## Stages"
    yield ""
    yield "| stage | state | time | because |"
    yield "| --- | --- | ---: | --- |"
    for row in reports:
        reason = row.reason.replace("|", "\\|")
        yield f"| {row.stage} | {row.state} | {row.seconds:.0f} s | {reason} |"
    yield ""
