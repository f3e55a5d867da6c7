"""Validated options of the editors in facsimile/editing.

A separate module, because every stage and the command line check params.yaml. They do not depend on
the code of editors, and importing torch would slow them down.
"""

from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
)

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


class DualBranchOptions(EditorOptions):
    """See `facsimile.editing.DualBranchEditor`.

    Attributes:
        levels: M, number of levels of a code.
        width: width of the hidden layers of the encoders.
        embedding: dimensions of the embedding of a level.
        dual: False adds the target status to the source's own embedding in training, not to that
            of another person (the single branch of the ablation).
        label_mapping: False conditions all levels on the labels themselves.
        transfer: move each pair of faces of a training person part of the way to another person.
        weight_code: λ of the distance to the code of the target picture.
        weight_function: λ_F, of the AU reader.
        weight_identity: λ_ID.
        weight_label: λ_L.
        steps, batch_size, lr, weight_decay: options of AdamW; the rate falls as a cosine.
        calibration: how edits are scaled on decoded faces; None leaves them as trained.
        seed: seed of initial weights, batches and the AU estimator of the calibration.
    """

    levels: PositiveInt = 4
    width: PositiveInt = 64
    embedding: PositiveInt = 16
    dual: bool = True
    label_mapping: bool = True
    transfer: bool = True
    weight_code: NonNegativeFloat = 1.0
    weight_function: NonNegativeFloat = 1.0
    weight_identity: NonNegativeFloat = 0.1
    weight_label: NonNegativeFloat = 1.0
    steps: PositiveInt = 2000
    batch_size: PositiveInt = 128
    lr: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 1.0
    calibration: CalibrationOptions | None = CalibrationOptions()
    seed: int = 0


class PictureGANOptions(EditorOptions):
    """Options that both editors of `facsimile.editing.picture_editors` have; see
    `facsimile.editing.picture_gan_training`.

    Attributes:
        steps: training steps of the generator.
        batch_size: faces per step.
        width, critic_width: channels of the first layers of generator and discriminator.
        critic_steps: steps of the discriminator per step of the generator.
        lr: learning rate of Adam for both.
        condition: λ_1 and λ_2, weight of AU errors.
        reconstruction: λ_3, weight of reconstruction.
        variation: weight of total variation.
        penalty: λ_gp, weight of the gradient penalty.
        fusion: multi-scale feature fusion in the skip connections of the generator.
        seed: seed of weights, batches and targets.
    """

    steps: PositiveInt = 1200
    batch_size: PositiveInt = 8
    width: PositiveInt = 12
    critic_width: PositiveInt = 16
    critic_steps: PositiveInt = 1
    lr: PositiveFloat = 1e-3
    condition: PositiveFloat = 150.0
    reconstruction: PositiveFloat = 10.0
    variation: NonNegativeFloat = 3e-4
    penalty: PositiveFloat = 10.0
    fusion: bool = True
    seed: int = 0


class RelativeOptions(PictureGANOptions):
    """See `facsimile.editing.RelativeEditor`.

    Weights of losses are those of the paper, except for a third of its λ_3. Its weight of total
    variation, 5e-6, applies to sums over batches of larger pictures.
    """


class AbsoluteOptions(PictureGANOptions):
    """See `facsimile.editing.AbsoluteEditor`. Weights of losses are those of GANimation.

    Attributes:
        attention: weight of the mean of the attention masks, so that G does not copy the picture.
    """

    condition: PositiveFloat = 160.0
    reconstruction: PositiveFloat = 10.0
    variation: NonNegativeFloat = 1e-5
    fusion: bool = False
    attention: NonNegativeFloat = 0.1


class LabelFreeOptions(EditorOptions):
    """See `facsimile.editing.LabelFreeEditor`. Equations are those of LEED.

    Attributes:
        faces: number of training faces to learn from and to copy.
        information_weight: λ_Q in Eq. (4); 0 leaves the mutual information out.
        adversarial_weight: weight of the adversarial term in Eq. (6).
        siamese_weight: λ_S in Eq. (16); 0 leaves the siamese loss out.
        gradient_penalty: λ_gp in Eq. (12).
        interpolate: False adds expressions to neutral codes, Eq. (5), instead of interpolating.
        width: width of all hidden layers.
        embedding: dimension of the siamese network's output.
        lr, batch_size, steps: options of Adam, with a cosine decay.
        seed: seed of weights and batches.
    """

    faces: PositiveInt = 800
    information_weight: NonNegativeFloat = 1.0
    adversarial_weight: NonNegativeFloat = 0.001
    siamese_weight: NonNegativeFloat = 0.1
    gradient_penalty: PositiveFloat = 10.0
    interpolate: bool = True
    width: PositiveInt = 512
    embedding: PositiveInt = 64
    lr: PositiveFloat = 5e-4
    batch_size: PositiveInt = 128
    steps: PositiveInt = 3000
    seed: int = 0


OPTIONS: dict[str, type[EditorOptions]] = {
    "linear": LinearOptions,
    "dual-branch": DualBranchOptions,
    "relative": RelativeOptions,
    "absolute": AbsoluteOptions,
    "label-free": LabelFreeOptions,
}
"""Name of an editor → its options."""
