"""``facsimile register``, ``promote``, ``rollback`` and ``models``: champion and challenger."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.failures import complain
from cli.shared import HERE, Root, console, examples, require_project
from facsimile.errors import FacsimileError
from facsimile.faces.arms import ALL_GENERATED
from tasks.shared.exit_codes import ExitCode

if TYPE_CHECKING:
    from facsimile.detection.model_comparison import ModelComparison, PromotionRule
    from flows.promotion import Decision

PANEL = "Use the detectors"

commands = typer.Typer()

Margin = Annotated[
    float, typer.Option(min=0, help="Accepted loss of mean F1, at the lower confidence bound.")
]
Tolerance = Annotated[
    list[str] | None,
    typer.Option(
        "--au-tolerance",
        help="Accepted loss of F1 of each AU: 0.1 by default; AU17=0.2 sets that of one AU. Can be "
        "given several times.",
        metavar="LOSS|AU=LOSS",
        show_default=False,
    ),
]


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples("facsimile register", "facsimile register --arm real"),
)
def register(
    arm: Annotated[
        str, typer.Option(help="Training arm; its detectors become one model.")
    ] = ALL_GENERATED,
    root: Root = HERE,
) -> None:
    """Add the trained detectors to MLflow's model registry, as the challenger.

    The first version also becomes the champion. A run that trains
    detectors does this itself. The same detectors are registered once.
    """
    require_project(root)
    with console.status("registering"):
        from flows.registration import register as register_detectors

        registration = register_detectors(root, arm)
    print(registration)


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile promote",
        "facsimile promote 3 --margin 0.01 --au-tolerance 0.05 --au-tolerance AU17=0.2",
        "facsimile promote 3 --force",
    ),
)
def promote(
    version: Annotated[
        str, typer.Argument(help="Number or alias of the version.", metavar="VERSION")
    ] = "challenger",
    margin: Margin = 0.02,
    au_tolerance: Tolerance = None,
    force: Annotated[bool, typer.Option("--force", help="Promote it without a test.")] = False,
    root: Root = HERE,
) -> None:
    """Make the challenger the champion if it is no worse on the validation people.

    Exits with 1 and says why if it is refused. Test people are not
    used. The decision is recorded in the tags of the version.
    """
    require_project(root)
    rule = promotion_rule(margin, au_tolerance)
    with console.status("comparing") as status:
        from flows.promotion import promote as promote_version

        decision = promote_version(root, rule, version, force=force, on_model=status.update)
    print_decision(decision)
    if not decision.passed:
        raise typer.Exit(ExitCode.FAILED)


@commands.command(rich_help_panel=PANEL, epilog=examples("facsimile rollback"))
def rollback(root: Root = HERE) -> None:
    """Make the previous champion the champion again."""
    require_project(root)
    from flows.model_registry import ModelRegistry

    replaced, champion = ModelRegistry(root).roll_back()
    print(f"{champion} is the champion again, instead of {replaced}")


@commands.command(rich_help_panel=PANEL, epilog=examples("facsimile models"))
def models(root: Root = HERE) -> None:
    """List the registered versions of the detectors, newest first."""
    require_project(root)
    from flows.mlflow_runs import COMMIT
    from flows.model_registry import DECISION, MODEL, REASON, ModelRegistry
    from flows.registration import ARM, MEAN_F1

    registry = ModelRegistry(root)
    table = Table("version", "alias", "arm", "F1", "commit", "decision", box=None)
    versions = registry.versions()
    for version in versions:
        reasons = (version.tags.get(DECISION, ""), version.tags.get(REASON, ""))
        cells = (
            str(version.number),
            ", ".join(version.aliases),
            version.tags.get(ARM, ""),
            version.tags.get(MEAN_F1, ""),
            version.tags.get(COMMIT, "")[:10],
            ": ".join(filter(None, reasons)),
        )
        table.add_row(*map(Text, cells))
    if not versions:
        raise FacsimileError(
            f"{registry.store.where}: no version of {MODEL} yet; `facsimile register` adds one"
        )
    console.print(table)


def promotion_rule(margin: float, tolerances: list[str] | None) -> "PromotionRule":
    """The rule that the options describe. Raises FacsimileError if a tolerance is not a number."""
    from facsimile.detection.model_comparison import PromotionRule

    general, by_au = PromotionRule.au_tolerance, {}
    for text in tolerances or ():
        au, separator, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not number >= 0 or (separator and not au):
            raise FacsimileError(f"--au-tolerance {text}: not a loss such as 0.1 or AU17=0.2")
        if separator:
            by_au[au] = number
        else:
            general = number
    return PromotionRule(margin, general, by_au)


def print_decision(decision: "Decision", promoted: bool = True) -> None:
    """Print the F1 of each AU, and the verdict with its reasons.

    Args:
        decision: about a challenger.
        promoted: whether a challenger that has passed is the champion now.
    """
    if decision.comparison:
        console.print(f1_table(decision.comparison))
        print(decision.comparison)
    if decision.passed:
        reason = "" if decision.comparison else f": {decision.reasons[0]}"
        result = "is the champion" if promoted else "may be promoted"
        print(f"{decision.challenger} {result}{reason}")
    else:
        complain(f"{decision.challenger} is refused")
        for reason in decision.reasons:
            complain(reason)


def f1_table(comparison: "ModelComparison") -> Table:
    """F1 of both models for each AU."""
    table = Table("AU", "champion", "challenger", "difference", box=None)
    for row in comparison.per_au.itertuples():
        numbers = (f"{row.champion:.3f}", f"{row.challenger:.3f}", f"{row.difference:+.3f}")
        table.add_row(row.Index, *numbers)
    return table
