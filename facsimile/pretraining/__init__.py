"""Train a generator on faces, or import one from an official checkpoint.

Separate from facsimile/generator, so that changes here do not re-run stages that only use a
generator.
"""

from facsimile.pretraining.importing import import_checkpoint
from facsimile.pretraining.options import TrainingOptions
from facsimile.pretraining.phases import PHASES, GeneratorTraining, train_generator
from facsimile.pretraining.presets import PRESETS, preset
from facsimile.pretraining.ranks import Ranks, join
from facsimile.pretraining.training_faces import TrainingFaces, open_faces
from facsimile.pretraining.training_report import evaluate, model_card

__all__ = [
    "PHASES",
    "PRESETS",
    "GeneratorTraining",
    "Ranks",
    "TrainingFaces",
    "TrainingOptions",
    "evaluate",
    "import_checkpoint",
    "join",
    "model_card",
    "open_faces",
    "preset",
    "train_generator",
]
