"""``facsimile generator import`` and ``train``: convert a published generator or train one."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from cli.failures import complain
from cli.shared import HERE, Root, examples

commands = typer.Typer(help="Import a published generator or train one.", no_args_is_help=True)


@commands.command(
    "import",
    epilog=examples(
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
            help="last.ckpt of a latent prior or an autoencoder, or a file that another tool made "
            "from it: .pt, .pth or .safetensors, wrapped, renamed or in half precision.",
            metavar="CKPT",
        ),
    ],
    config: Annotated[
        str,
        typer.Option(
            help="The published model: ffhq256_autoenc, ffhq128_autoenc_130M, "
            "celeba64d2c_autoenc, bedroom128_autoenc or horse128_autoenc."
        ),
    ],
    latent: Annotated[
        Path | None,
        typer.Option(
            help="If CKPT is an autoencoder: last.ckpt of its latent prior, or its latent.pkl. "
            "With latent.pkl the generator can edit faces but not synthesize new ones.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("data/generator"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing generator.")
    ] = False,
) -> None:
    """Convert a published Diffusion Autoencoder (github.com/phizaz/diffae).

    Checks every parameter by name, shape and value.
    Never runs code contained in the checkpoint.
    Uses the averaged weights, or the raw weights with a warning if there are none.
    """
    from facsimile.pretraining import import_checkpoint, preset

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        pipeline = import_checkpoint(checkpoint, preset(config), out, latent, overwrite)
    for warning in caught:
        complain(str(warning.message))
    prior = "with" if pipeline.latent_net else "without"
    print(f"{out}: {config}, {pipeline.image_size} px, {prior} latent prior")
    print(f'In Python: facsimile.generator.load_generator("{out}")')
    print(f"In the pipeline: as data/generator, with ingest.size: {pipeline.image_size}")


@commands.command(
    epilog=examples(
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
            help="Face table as written by `ingest`; rendered faces of the embedded world by "
            "default.",
            show_default=False,
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for checkpoints to resume from; OUT/.work by default.",
            show_default=False,
        ),
    ] = None,
    oracle: Annotated[
        Path | None,
        typer.Option(
            help="AU estimator, used to measure how well reconstructions keep AUs.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="cpu, cuda or mps; a GPU by default if there is one.", show_default=False
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(help="Number of processes that share each batch, one GPU each.", min=1)
    ] = 1,
    root: Root = HERE,
) -> None:
    """Train a generator and log it to MLflow.

    Sizes and training length are in section `generator` of params.yaml.
    The same command resumes an interrupted training.
    """
    from flows.generator_training import train_generator

    out = out.resolve()
    paths = {"faces": faces, "oracle": oracle}
    options = {name: path and path.resolve() for name, path in paths.items()}
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
