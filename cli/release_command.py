"""``facsimile release``: publish the accepted faces."""

from pathlib import Path
from typing import Annotated

import typer

from cli.shared import HERE, Root, examples, require_project

PANEL = "Publish"
TERMS = "Terms"
SIGNATURE = "Signature"

commands = typer.Typer()


@commands.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "facsimile release build/faces",
        "facsimile release faces --license cc-by-nc-4.0 --permitted disfa",
        "facsimile release faces --synthetic-only --certificate chain.pem --private-key key.pem",
    ),
)
def release(
    out: Annotated[Path, typer.Argument(help="Folder to write.", metavar="OUT")],
    name: Annotated[
        str | None,
        typer.Option(help="Name of the dataset; by default that of OUT.", show_default=False),
    ] = None,
    license_: Annotated[
        str | None,
        typer.Option(
            "--license",
            help="Licence of the dataset: cc0-1.0, cc-by-4.0, cc-by-sa-4.0, cc-by-nc-4.0, "
            "cc-by-nc-sa-4.0 or an https URL. Required unless all sources share one licence.",
            show_default=False,
            rich_help_panel=TERMS,
        ),
    ] = None,
    permitted: Annotated[
        list[str] | None,
        typer.Option(
            help="State that the terms of DATASET allow you to publish faces edited from it. The "
            "dataset card repeats the statement. Without it, such faces are refused if the dataset "
            "is under an agreement or its terms are unknown: an edited face shows a real person. "
            "Can be given several times.",
            metavar="DATASET",
            show_default=False,
            rich_help_panel=TERMS,
        ),
    ] = None,
    synthetic_only: Annotated[
        bool,
        typer.Option(
            "--synthetic-only",
            help="Include only faces of synthetic people.",
            rich_help_panel=TERMS,
        ),
    ] = False,
    certificate: Annotated[
        Path | None,
        typer.Option(
            help="PEM certificate chain, your own certificate first. Signs every image with C2PA "
            "(ES256).",
            show_default=False,
            rich_help_panel=SIGNATURE,
        ),
    ] = None,
    private_key: Annotated[
        Path | None,
        typer.Option(
            help="PEM file of the P-256 private key (PKCS #8, unencrypted).",
            show_default=False,
            rich_help_panel=SIGNATURE,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing release.")
    ] = False,
    root: Root = HERE,
) -> None:
    """Package the accepted faces as a dataset to publish; real faces are never included.

    Writes Parquet shards for `datasets.load_dataset`, a dataset card
    and a Croissant file. The metadata of every image states that it is
    synthetic, and records its id and provenance.
    """
    require_project(root)
    from flows.release import release as write_release

    summary = write_release(
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
    print(summary)
