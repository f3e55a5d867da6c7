"""Diffusion Autoencoder: semantic encoder, conditional DDIM decoder and latent prior."""

from facsimile.generator.config import GeneratorConfig, LatentNetConfig, UNetConfig
from facsimile.generator.importing import import_checkpoint
from facsimile.generator.latent_net import LatentNet
from facsimile.generator.pipeline import DiffAEPipeline
from facsimile.generator.presets import PRESETS, preset
from facsimile.generator.unet import DiffAEUNet, SemanticEncoder

__all__ = [
    "PRESETS",
    "DiffAEPipeline",
    "DiffAEUNet",
    "GeneratorConfig",
    "LatentNet",
    "LatentNetConfig",
    "SemanticEncoder",
    "UNetConfig",
    "import_checkpoint",
    "preset",
]
