"""All detector trainings of the paper's comparisons, beside those of the stage `train`.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV-C to IV-E. Arms
differ in the faces added to the real ones, in the number of real faces, or in how they are trained.
All steps have the same number of faces, so arms of the same length cost the same.
"""

from dataclasses import dataclass
from typing import Literal

from facsimile.faces.origins import EDITED, SYNTHETIC, generated_origins


@dataclass(frozen=True)
class Added:
    """Faces added to the real ones.

    Attributes:
        source: where they come from. "pipeline": the stages edit, synthesize and transfer; "plain":
            the same by the method as published (stage `plain`); "further": further people whose
            faces are exactly labelled; "balanced": the same with AUs that do not co-occur.
        origins: origins of the faces of "pipeline" and "plain".
        mixed: whether to include edits of several AUs at once.
        unannotated: whether to include edits of faces without annotation.
        accepted: whether to include only faces that the filter accepts.
        corrected: whether labels are corrected by AU readings; otherwise they are as requested.
            Only accepted faces have corrected labels.
        share: share of these faces, drawn at random.
    """

    source: Literal["pipeline", "plain", "further", "balanced"] = "pipeline"
    origins: tuple[str, ...] = (EDITED, SYNTHETIC)
    mixed: bool = True
    unannotated: bool = True
    accepted: bool = True
    corrected: bool = True
    share: float = 1.0


@dataclass(frozen=True)
class Trial:
    """One training arm.

    Attributes:
        title: name in figures and tables.
        added: faces added to the real ones; None for none.
        people: number of annotated people, in multiples of the training people; beyond 1, further
            people are added, as long as the embedded world has any.
        frames: share of each person's faces.
        length: number of training steps, in multiples of the usual number.
        reweighted: whether AUs are weighted by their inverse frequency (Fig. 11).
        pretrained: whether training starts from features of unlabelled faces (Fig. 11).
    """

    title: str
    added: Added | None = None
    people: float = 1.0
    frames: float = 1.0
    length: float = 1.0
    reweighted: bool = False
    pretrained: bool = False


_ORIGINS = tuple(generated_origins())
_ALL = Added(origins=_ORIGINS)
_SINGLE = Added(mixed=False, unannotated=False, accepted=False, corrected=False)

TRIALS: dict[str, Trial] = {
    # Fig. 6: the length that suits each arm
    "real-double": Trial("real, twice the steps", length=2.0),
    "generated-double": Trial("real + generated, twice the steps", _ALL, length=2.0),
    # Fig. 7: less and more annotated data, and the ceiling
    "people-quarter": Trial("a quarter of the people", people=0.25),
    "people-half": Trial("half of the people", people=0.5),
    "people-2": Trial("2 × the people", people=2.0),
    "people-5": Trial("5 × the people", people=5.0),
    "frames-tenth": Trial("a tenth of the frames", frames=0.1),
    "frames-third": Trial("a third of the frames", frames=1 / 3),
    "further": Trial("real + further people, exactly labelled", Added("further")),
    "balanced": Trial("real + further people, AUs independent", Added("balanced")),
    # how many generated faces are enough
    "generated-eighth": Trial("an eighth of the generated", Added(origins=_ORIGINS, share=1 / 8)),
    "generated-third": Trial("a third of the generated", Added(origins=_ORIGINS, share=1 / 3)),
    # Fig. 11: other data-efficient trainings
    "reweighted": Trial("reweighting", reweighted=True),
    "pretrained": Trial("pretraining", pretrained=True),
    "generated-reweighted": Trial("generated + reweighting", _ALL, reweighted=True),
    "generated-pretrained": Trial("generated + pretraining", _ALL, pretrained=True),
    # Fig. 13: as published, then each addition one by one up to the default
    "plain-edited": Trial("edited, as published", Added("plain", (EDITED,))),
    "plain-synthetic": Trial("synthetic, as published", Added("plain", (SYNTHETIC,))),
    "plain": Trial("both, as published", Added("plain")),
    "calibrated": Trial("our editor", _SINGLE),
    "mixed": Trial(
        "+ several AUs at once", Added(unannotated=False, accepted=False, corrected=False)
    ),
    "unannotated": Trial("+ unannotated people", Added(accepted=False, corrected=False)),
    "filtered": Trial("+ filter", Added(corrected=False)),
    "corrected": Trial("+ corrected labels", Added()),
    "edited-only": Trial("edited only", Added(origins=(EDITED,))),
    "synthetic-only": Trial("synthetic only", Added(origins=(SYNTHETIC,))),
}
"""Name → arm. `dvc.yaml` lists the same names in the matrix of stage `trials`. The arms "real" and
"real+generated", which the last addition (transfers) completes, come from the stage `train`."""
