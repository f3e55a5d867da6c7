"""results.json as a page of documentation."""

from collections.abc import Mapping
from typing import Any

from facsimile.paper.claims import CLAIMS
from facsimile.paper.tables import TABLES
from facsimile.result_table import table_lines

COMMAND = "facsimile paper"


def to_markdown(results: Mapping[str, Any]) -> str:
    """A heading, the claim, what was measured, and a table for each section.

    Args:
        results: content of results.json.
    """
    counts = results["seeds"].values()
    lines = [
        "# Results",
        "",
        f"Computed by `{COMMAND}` at commit {results['commit'][:10]}, on {results['machine']}. "
        "[results.json](results.json) has all numbers. Unless a table says otherwise, detectors "
        f"are tested on {results['people'][results['measured_on']]} people of "
        f"`{results['measured_on']}` that nothing was chosen on. Each arm has "
        f"{' to '.join(map(str, sorted({min(counts), max(counts)})))} detectors, trained with "
        "different seeds. Intervals cover 95 % of resamples of people and seeds; without a "
        "standard error there is one detector, and they cover people only. The paper reports "
        "photographs: compare directions and sizes of effects, not scores.",
    ]
    for name, values in results["sections"].items():
        claim = CLAIMS[name]
        lines += ["", f"## {claim.title}", ""]
        if claim.paper:
            lines += [f"Paper ({claim.source}): {claim.paper}", ""]
        lines.append(f"**Here:** {values['finding']}")
        if name in TABLES:
            lines += ["", *table_lines(TABLES[name](values))]
    return "\n".join(lines) + "\n"


def headline(results: Mapping[str, Any]) -> str:
    """The figures of the README: a table of both arms, and what else was measured."""
    sections = results["sections"]
    measured = results["measured_on"]
    detection = sections["detection"]["sets"]
    real, generated = detection[measured]["best"]["arms"]
    lines = ["| | real | real + generated |", "| --- | --- | --- |"]
    for place, scores in detection.items():
        pair = [scores["scores"][arm]["f1"] for arm in (real, generated)]
        name = f"{results['people'][place]} people of `{place}`"
        lines.append(f"| mean F1, {name} | {_pair(pair)} |")
    icc = [detection[measured]["scores"][arm]["icc"] for arm in (real, generated)]
    lines.append(f"| mean ICC(3,1), `{measured}` | {_pair(icc)} |")
    rates = [
        f"{100 * detection[measured]['scores'][arm]['pair_fpr']['mean']:.1f} %"
        for arm in (real, generated)
    ]
    lines.append(f"| AU-pair false positives, `{measured}` | {' | '.join(rates)} |")
    means = sections["correlation"]["mean_abs"]
    lines.append(
        "| mean absolute correlation of AUs, as an estimator reads the training faces | "
        f"{means['estimator_real']:.3f} | {means['estimator_generated']:.3f} (generated only) |"
    )
    findings = [sections[name]["finding"] for name in ("detection", "learning_curve", "fidelity")]
    return "\n".join([*lines, "", *(f"- {finding}" for finding in findings)]) + "\n"


def _pair(scores: list[Mapping[str, Any]]) -> str:
    return " | ".join(
        f"{score['mean']:.3f}" + (f" ± {score['se']:.3f}" if score["se"] is not None else "")
        for score in scores
    )
