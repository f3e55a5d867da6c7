"""The origins of faces: real ones, and one for each way of generating them.

Whatever depends on the origin of a face (schema, training arms, figures, releases, lineage) reads
this table. A new origin is one more entry here, and the stage that makes its faces.
"""

from dataclasses import dataclass

REAL, EDITED, TRANSFERRED, SYNTHETIC = "real", "edited", "transferred", "synthetic"


@dataclass(frozen=True)
class Origin:
    """Where a face comes from.

    Attributes:
        name: value of column ``origin``.
        stage: stage that writes the faces, of generated ones to ``data/<stage>/faces``.
        colour: in all figures; distinct for readers with colour vision deficiency.
        title: heading of its gallery in the report.
        note: what to look for in that gallery.
        summary: how the faces are made, in a few words.
        description: how they are made, in Markdown; ``{sources}`` stands for the source datasets.
        from_dataset: whether the faces derive from faces of a dataset, and so resemble its people.
        keeps_identity: whether a face shows the person of its source.
        keeps_expression: whether a face keeps the annotated AUs of its source; otherwise AUs are
            set on a neutral source.
    """

    name: str
    stage: str
    colour: str
    title: str
    summary: str
    note: str = ""
    description: str = ""
    from_dataset: bool = True
    keeps_identity: bool = True
    keeps_expression: bool = False

    @property
    def label(self) -> str:
        """``edited face``: one face in text."""
        return f"{self.name} face"


ORIGINS: dict[str, Origin] = {
    origin.name: origin
    for origin in (
        Origin(
            REAL,
            "ingest",
            "#858b93",
            title="Real faces",
            summary="read from a dataset",
            keeps_expression=True,
        ),
        Origin(
            EDITED,
            "edit",
            "#e69f00",
            title="Edited real faces",
            note="A reconstruction is what the generator makes of a face without any edit; compare "
            "the edits with it. Numbers are intensities: 1.0 is FACS level E.",
            summary="AUs set on a neutral face of a source",
            description="an expressionless face of {sources}, given one AU or several. They keep "
            "the identity of that face.",
        ),
        Origin(
            TRANSFERRED,
            "transfer",
            "#cc79a7",
            title="Expressions transferred to other people",
            note="An annotated face, then the same expression part of the way to another person: "
            "the identity should change, the AUs under the annotated face should stay.",
            summary="an annotated face of a source, moved towards another person",
            description="an annotated expression of {sources}, moved part of the way to the "
            "identity of another person. They keep the annotated AUs and look like neither person "
            "exactly.",
            keeps_identity=False,
            keeps_expression=True,
        ),
        Origin(
            SYNTHETIC,
            "synthesize",
            "#56b4e9",
            title="Synthetic identities by gender and age group",
            note="Sampled with whatever expression came with them, neutralized, then given one AU "
            "or several at once.",
            summary="AUs set on a person who does not exist",
            description="a person drawn from a latent prior, made expressionless, then given the "
            "same AUs. People are drawn until every gender × age group has equally many.",
            from_dataset=False,
        ),
    )
}
"""Name → origin, in the order in which reports list them."""


def generated_origins() -> dict[str, Origin]:
    """All entries of ``ORIGINS`` but the real one."""
    return {name: origin for name, origin in ORIGINS.items() if name != REAL}
