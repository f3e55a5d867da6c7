"""Origins of faces: real, and one for each way of generating faces.

Everything that depends on the origin of a face (schema, training arms, figures, releases, lineage)
reads this table. A new origin needs one more entry here and a stage that generates its faces.
"""

from dataclasses import dataclass

REAL, EDITED, TRANSFERRED, SYNTHETIC = "real", "edited", "transferred", "synthetic"
DESCRIBED = "described"


@dataclass(frozen=True)
class Origin:
    """Where a face comes from.

    Attributes:
        name: value of column ``origin``.
        stage: stage that writes the faces; generated faces go to ``data/<stage>/faces``.
        colour: colour in all figures, distinct for readers with colour vision deficiency.
        title: heading of its gallery in the report.
        note: how to read that gallery.
        summary: how the faces are generated, in a few words.
        description: the same in more detail, in Markdown; ``{sources}`` is replaced by the source
            datasets.
        from_dataset: whether the faces derive from a dataset, and so resemble people in it.
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
        """Name of a face in text, such as ``edited face``."""
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
            note="Compare the edits with the reconstruction, which is the face decoded without any "
            "edit. Numbers are intensities: 1.0 is FACS level E.",
            summary="AUs set on a neutral face of a source",
            description="a neutral face of {sources}, edited to show one or several AUs. They keep "
            "the identity of the source face.",
        ),
        Origin(
            TRANSFERRED,
            "transfer",
            "#cc79a7",
            title="Expressions transferred to other people",
            note="An annotated face, then the same expression part of the way to another person: "
            "the identity should change, but not the AUs listed under the annotated face.",
            summary="an annotated face of a source, moved towards another person",
            description="an annotated expression of {sources}, moved part of the way to the "
            "identity of another person. They keep the annotated AUs and match neither person "
            "exactly.",
            keeps_identity=False,
            keeps_expression=True,
        ),
        Origin(
            SYNTHETIC,
            "synthesize",
            "#56b4e9",
            title="Synthetic identities by gender and age group",
            note="Sampled with an arbitrary expression, neutralized, then edited to show one or "
            "several AUs.",
            summary="AUs set on a synthetic person",
            description="a person sampled from a latent prior, neutralized, then edited to show "
            "one or several AUs. All gender × age groups have the same number of people.",
            from_dataset=False,
        ),
        Origin(
            DESCRIBED,
            "describe",
            "#0072b2",
            title="Faces from descriptions",
            note="Each face was generated from a sentence. The label decoder says which AUs it "
            "shows.",
            summary="a synthetic person with an expression that a sentence describes",
            description="a synthetic person with an expression that a sentence describes. AUs are "
            "what the label decoder of the generator states, not what the sentence asks for.",
            from_dataset=False,
        ),
    )
}
"""Name → origin, in the order in which reports list them."""


def generated_origins() -> dict[str, Origin]:
    """All entries of ``ORIGINS`` except the real one."""
    return {name: origin for name, origin in ORIGINS.items() if name != REAL}
