"""Face generators. The rest of the project uses `load_generator`, `Generator` and `Codes` only.

The Diffusion Autoencoder (semantic encoder, conditional DDIM decoder, latent prior) is the first
entry of the registry.
"""

from facsimile.generator.base import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Codes,
    Generator,
    InferenceOptions,
)
from facsimile.generator.config import GeneratorConfig, LatentNetConfig, UNetConfig
from facsimile.generator.latent_net import LatentNet
from facsimile.generator.noise import NoiseModel
from facsimile.generator.pipeline import DiffAEPipeline
from facsimile.generator.registry import GENERATORS, load_generator
from facsimile.generator.unet import DiffAEUNet, SemanticEncoder

__all__ = [
    "CONFIG_FILE",
    "GENERATORS",
    "WEIGHTS_FILE",
    "Codes",
    "DiffAEPipeline",
    "DiffAEUNet",
    "Generator",
    "GeneratorConfig",
    "InferenceOptions",
    "LatentNet",
    "LatentNetConfig",
    "NoiseModel",
    "SemanticEncoder",
    "UNetConfig",
    "load_generator",
]
