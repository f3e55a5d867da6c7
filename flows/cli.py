"""The command ``facsimile``: run the pipeline, see where it stands, find the report, trace faces.

``facsimile release`` makes a dataset to publish, ``facsimile generator`` trains a generator or
brings a published one in.
"""

import os
import sys
import warnings
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from facsimile.errors import FacsimileError
from flows import events, server, state_folder
from flows.display import Display, coloured, summary
from flows.graph import needed_by, read_graph
from flows.outputs import INSPECTION, REPORT, inspectable, key_figure
from flows.status import stage_states
from tasks.params import PARAMS, read_params
from tasks.shared.exit_codes import ExitCode
from tasks.shared.faults import faults_told

app = typer.Typer(
    name="facsimile",
    help="Balanced, disentangled, traceable face data for AU detectors.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)
generator = typer.Typer(help="Train a generator of faces, or bring one in.", no_args_is_help=True)
app.add_typer(generator, name="generator")
# A pipe or file has no width of its own, and rich would wrap at 80.
console = Console(width=None if sys.stdout.isatty() else 160)

Root = Annotated[
    Path, typer.Option(help="Project folder, with dvc.yaml and params.yaml.", show_default=False)
]
HERE = Path()


def _examples(*lines: str) -> str:
    return "[bold]Examples[/bold]\n\n" + "\n\n".join(f"  $ {line}" for line in lines)


@app.command(
    epilog=_examples(
        "facsimile demo",
        "FACSIMILE_BATCH_SIZE=16 facsimile demo",
        "facsimile demo --dataset plain-table",
        "make demo DATASET=plain-table",
    )
)
def demo(
    root: Root = HERE,
    dataset: Annotated[
        Literal["world", "plain-table"],
        typer.Option(
            help="Where faces come from: as params.yaml says, which is the embedded world; or the "
            "same ones as pictures and CSV files, in a project of its own in build/plain-table."
        ),
    ] = "world",
) -> None:
    """Run the whole pipeline on the embedded world, as params.yaml says, up to the report.

    Stages that nothing has changed for are taken as they are.
    """
    with _one_line_errors():
        if dataset == "plain-table":
            _conduct(root, ["ingest"])
            from flows.demo import plain_table_project  # torch takes seconds

            root = plain_table_project(root)
        _conduct(root, [])
        _print_report(root)


@app.command(epilog=_examples("facsimile run edit", "facsimile run train evaluate"))
def run(
    stages: Annotated[list[str], typer.Argument(help="Stages of dvc.yaml.", metavar="STAGE...")],
    root: Root = HERE,
) -> None:
    """Bring stages, and all that they need, up to date."""
    with _one_line_errors():
        _conduct(root, stages)
        if "evaluate" in stages:
            _print_report(root)


@app.command(epilog=_examples("facsimile status", "facsimile status --root ../other"))
def status(root: Root = HERE) -> None:
    """Show which stages run or would run, and why. Runs nothing, and does not wait for a run."""
    with _one_line_errors():
        table = Table("stage", "state", "because", "key figure", box=None)
        for row in stage_states(root):
            why, figure = Text(row.why), Text(key_figure(root, row.stage))
            table.add_row(row.stage, coloured(row.state), why, figure)
        _note_missing_git(root)
        console.print(table)


@app.command(epilog=_examples("facsimile report", "facsimile report --open"))
def report(
    root: Root = HERE,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Print where the report is."""
    with _one_line_errors():
        path = _print_report(root)
        if open_:
            webbrowser.open(path.as_uri())


@app.command(
    epilog=_examples(
        "facsimile inspect --open",
        "facsimile inspect world-disfa --samples 500",
        "facsimile inspect data/filter/faces --out accepted.html",
    )
)
def inspect(
    target: Annotated[
        str | None,
        typer.Argument(
            help="A dataset that is ingested, or a table of faces: Parquet file or folder of "
            "shards. Without it, all that the run has ingested and made.",
            metavar="[DATASET|FOLDER]",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Most faces on the page; drawn evenly from all kinds.")
    ] = 2000,
    out: Annotated[
        Path | None, typer.Option(help=f"HTML file (default: {INSPECTION}).", show_default=False)
    ] = None,
    root: Root = HERE,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write a page to look through samples, by AU, origin, group and reason of rejection."""
    with _one_line_errors():
        tables = inspectable(root, target)
        from facsimile.report import write_inspection  # torch takes seconds

        path = (out or root / INSPECTION).resolve()
        write_inspection(**tables, path=path, most=samples)
        print(path)
        if open_:
            webbrowser.open(path.as_uri())


@app.command(
    epilog=_examples(
        "facsimile lineage world-disfa/SN001/000012/edit/AU12",
        "facsimile lineage --rebuild synthetic/000036/mixed/0",
    )
)
def lineage(
    sample_id: Annotated[
        str, typer.Argument(help="Of a real, edited or synthetic face.", metavar="SAMPLE_ID")
    ],
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Make the face again and say whether it is the same: exit status 0, or 1 where "
            "it differs or an input has changed since.",
        ),
    ] = False,
    root: Root = HERE,
) -> None:
    """Show what a face was made of: data, files, params, hashes, code, and the filter's verdict."""
    with _one_line_errors():
        from flows.lineage_report import check, describe  # torch takes seconds

        if not rebuild:
            console.print(describe(root, sample_id))
            return
        same, line = check(root, sample_id)
        print(line)
        if not same:
            raise typer.Exit(ExitCode.FAILED)


@app.command(
    epilog=_examples(
        "facsimile release build/faces",
        "facsimile release faces --license cc-by-nc-4.0 --permitted disfa",
        "facsimile release faces --synthetic-only --certificate chain.pem --private-key key.pem",
    )
)
def release(
    out: Annotated[Path, typer.Argument(help="Folder to write.", metavar="OUT")],
    name: Annotated[
        str | None,
        typer.Option(help="Of the dataset; that of the folder if not given.", show_default=False),
    ] = None,
    license_: Annotated[
        str | None,
        typer.Option(
            "--license",
            help="Licence of the dataset: cc0-1.0, cc-by-4.0, cc-by-sa-4.0, cc-by-nc-4.0, "
            "cc-by-nc-sa-4.0 or an https address. Needed unless all sources come under the same.",
            show_default=False,
        ),
    ] = None,
    permitted: Annotated[
        list[str] | None,
        typer.Option(
            help="You state that the terms of this dataset allow you to publish faces edited from "
            "it; the card repeats it. Without that, such faces are refused where datasets come "
            "under agreements or unknown terms: an edited face shows the person it was made of.",
            metavar="DATASET",
            show_default=False,
        ),
    ] = None,
    synthetic_only: Annotated[
        bool,
        typer.Option(
            "--synthetic-only", help="Leave edited faces out: only people who do not exist."
        ),
    ] = False,
    certificate: Annotated[
        Path | None,
        typer.Option(
            help="PEM chain, your own certificate first: sign every image by C2PA (ES256).",
            show_default=False,
        ),
    ] = None,
    private_key: Annotated[
        Path | None,
        typer.Option(help="PEM of its P-256 key, PKCS #8, not encrypted.", show_default=False),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the release that is there.")
    ] = False,
    root: Root = HERE,
) -> None:
    """Make a dataset to publish of the faces that the filter accepted; never of real ones.

    Parquet shards that `datasets.load_dataset` opens, a card, a Croissant file. Every image says in
    its own metadata that it is synthetic, which face it is and what it was made of.
    """
    with _one_line_errors():
        from flows.release import release as write  # torch takes seconds

        print(
            write(
                root,
                out,
                name=name,
                licence=license_,
                permitted=permitted or [],
                synthetic_only=synthetic_only,
                certificate=certificate,
                private_key=private_key,
                overwrite=overwrite,
            )
        )


@generator.command(
    "import",
    epilog=_examples(
        "facsimile generator import ffhq256_autoenc_latent/last.ckpt --config ffhq256_autoenc "
        "--overwrite",
        "facsimile generator import horse128_autoenc/last.ckpt --config horse128_autoenc "
        "--latent horse128_autoenc_latent/last.ckpt --out generators/horse128",
    ),
)
def import_(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="last.ckpt of a latent prior or of an autoencoder; or what other tools made of "
            "it: .pt, .pth or .safetensors, wrapped, renamed, in half precision.",
            metavar="CKPT",
        ),
    ],
    config: Annotated[
        str,
        typer.Option(
            help="Which published model it is: ffhq256_autoenc, ffhq128_autoenc_130M, "
            "celeba64d2c_autoenc, bedroom128_autoenc or horse128_autoenc."
        ),
    ],
    latent: Annotated[
        Path | None,
        typer.Option(
            help="Where CKPT is that of an autoencoder: last.ckpt of its latent prior, or its "
            "latent.pkl. With the latter, the generator can edit faces but not synthesize any.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("data/generator"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the generator that is there.")
    ] = False,
) -> None:
    """Convert an official checkpoint of the Diffusion Autoencoder (github.com/phizaz/diffae).

    Every parameter is checked by name, shape and value; nothing in the file is run. Averaged
    weights are taken; raw ones, with a word, where there are no others.
    """
    with _one_line_errors():
        from facsimile.generator import import_checkpoint, preset  # torch takes seconds

        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UserWarning)
            pipeline = import_checkpoint(checkpoint, preset(config), out, latent, overwrite)
        for warning in told:
            print(f"facsimile: {warning.message}", file=sys.stderr)
        prior = "with" if pipeline.latent_net else "without"
        print(f"{out}: {config}, {pipeline.image_size} px, {prior} latent prior")
        print(f'in Python: DiffAEPipeline.from_pretrained("{out}")')
        print(f"in the pipeline: as data/generator, with ingest.size: {pipeline.image_size}")


@generator.command(
    epilog=_examples(
        "facsimile generator train --faces data/ingest/my-faces --out generators/mine",
        "facsimile generator train --faces data/ingest/my-faces --out generators/mine "
        "--processes 8",
    )
)
def train(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    faces: Annotated[
        Path | None,
        typer.Option(
            help="Face table, as `ingest` writes it. Without one, faces of the embedded world "
            "are rendered.",
            show_default=False,
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder of what can be resumed (default: OUT/.work).", show_default=False
        ),
    ] = None,
    oracle: Annotated[
        Path | None,
        typer.Option(
            help="Estimator that reads AUs from reconstructions of the faces given.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or mps (default: a GPU if there is one).")
    ] = None,
    processes: Annotated[
        int, typer.Option(help="Processes that share each batch, a GPU each.", min=1)
    ] = 1,
    root: Root = HERE,
) -> None:
    """Train a generator as section `generator` of params.yaml says, and log it to MLflow.

    The same command again continues a training that was interrupted.
    """
    from flows.generator_training import train_generator

    out = out.resolve()
    options = {"faces": faces, "oracle": oracle}
    options = {name: path and path.resolve() for name, path in options.items()}
    with _one_line_errors():
        code = train_generator(
            root.resolve(),
            work.resolve() if work else out / ".work",
            out,
            {**options, "device": device},
            processes,
        )
        if code:
            raise typer.Exit(code)
        print(out)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """End in one line; what is to be noted beside the outcome comes last."""
    try:
        with faults_told():
            yield
    except FacsimileError as error:
        print(f"facsimile: {error}", file=sys.stderr)
        raise typer.Exit(ExitCode.BAD_INPUT) from None
    finally:
        sys.stdout.flush()
        for note in events.take_notes():
            print(f"facsimile: {note}", file=sys.stderr)


def _print_report(root: Path) -> Path:
    path = (root / REPORT).resolve()
    if not path.exists():
        raise FacsimileError(f"{path} is not there yet; `facsimile demo` makes it")
    print(path)
    return path


def _note_missing_git(root: Path) -> None:
    if not state_folder.is_under_git(root):
        print(
            f"facsimile: {root.resolve()} is not under git: runs as it is, and what is made is "
            "not traced to a commit",
            file=sys.stderr,
        )


def _conduct(root: Path, targets: list[str]) -> None:
    """Run the flow `regenerate` with a live table, and sum up. Exits if a stage failed."""
    # What is wrong here is told at once, not after the server has started.
    read_params(root / PARAMS)
    names = needed_by(read_graph(root), targets or ["evaluate"])
    _note_missing_git(root)

    # The table takes the place of Prefect's own log, which still goes to its server.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    with console.status("starting"):
        server.connect(root)
    display = Display(names, console)
    with display, events.subscribed(display.on_event):
        from flows.conductor import regenerate

        state = regenerate(targets=targets or None, root=str(root), return_state=True)
    reports = state.result(raise_on_failure=False)
    if isinstance(reports, BaseException):  # not a stage but the flow itself failed
        raise reports
    console.print(summary(reports, display.seconds))
    if state.is_failed():
        print(f"facsimile: {state.message}", file=sys.stderr)
        raise typer.Exit(ExitCode.FAILED)


if __name__ == "__main__":
    app()
