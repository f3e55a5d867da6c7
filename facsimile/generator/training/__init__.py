"""Training of the Diffusion Autoencoder: faces, options, phases, report."""

from facsimile.generator.training.options import TrainingOptions
from facsimile.generator.training.phases import PHASES, GeneratorTraining, train_generator
from facsimile.generator.training.ranks import Ranks, join
from facsimile.generator.training.training_faces import TrainingFaces, open_faces
from facsimile.generator.training.training_report import evaluate, model_card

__all__ = [
    "PHASES",
    "GeneratorTraining",
    "Ranks",
    "TrainingFaces",
    "TrainingOptions",
    "evaluate",
    "join",
    "model_card",
    "open_faces",
    "train_generator",
]
