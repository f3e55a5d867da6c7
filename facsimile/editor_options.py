"""Validated options of the editors in facsimile/editing.

A separate module, because every stage and the command line check params.yaml. They do not depend on
the code of editors, and importing torch would slow them down.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from facsimile.faces.aus import NUISANCES


class EditorOptions(BaseModel):
    """Base of the options of every editor. An unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Nuisances that the attribute faces must be annotated for."""
        return ()


class CalibrationOptions(EditorOptions):
    """See `facsimile.editing.calibration`.

    Attributes:
        faces: number of neutral validation faces to edit with each AU at each scale.
        scales: multiples of a direction's length to measure.
        epochs: training epochs of the AU estimator that measures the edits.
    """

    faces: PositiveInt = 12
    scales: tuple[PositiveFloat, ...] = Field((1.0, 2.0, 4.0), min_length=1)
    epochs: PositiveInt = 10


class LinearOptions(EditorOptions):
    """See `facsimile.editing.LinearEditor`.

    Attributes:
        model: directions are normals of a ridge regression, of a linear SVM, or the sum of both
            unit normals ("combined").
        alpha: ridge penalty on w.
        condition: False leaves every adjustment set empty (the baseline of the ablation).
        within_subject: fit one intercept c per subject. The person is a common cause of appearance
            and of AU frequencies; with few subjects, directions otherwise absorb identity. False
            is the paper's single c.
        project: nuisances whose directions are projected out of every AU direction.
        calibration: how directions are scaled on decoded faces.
        seed: seed of the SVM solver and of the AU estimator.
    """

    model: Literal["ridge", "svm", "combined"] = "ridge"
    alpha: PositiveFloat = 1000.0
    condition: bool = True
    within_subject: bool = True
    project: tuple[Literal[NUISANCES], ...] = NUISANCES
    calibration: CalibrationOptions = CalibrationOptions()
    seed: int = 0

    @property
    def attributes(self) -> tuple[str, ...]:
        return self.project


OPTIONS: dict[str, type[EditorOptions]] = {
    "linear": LinearOptions,
}
"""Name of an editor → its options."""
