"""The published Diffusion Autoencoders (github.com/phizaz/diffae), under their original names.

Architecture: arXiv:2111.15640, appendix A.
"""

from facsimile.errors import FacsimileError
from facsimile.generator.config import GeneratorConfig, LatentNetConfig, UNetConfig

# name: image size, channels, decoder multipliers, encoder multipliers, layers of the prior
_SIZES = {
    "ffhq256_autoenc": (256, 128, (1, 1, 2, 2, 4, 4), (1, 1, 2, 2, 4, 4, 4), 10),
    "ffhq128_autoenc_130M": (128, 128, (1, 1, 2, 3, 4), (1, 1, 2, 3, 4, 4), 10),
    "celeba64d2c_autoenc": (64, 64, (1, 2, 4, 8), (1, 2, 4, 8, 8), 10),
    "bedroom128_autoenc": (128, 128, (1, 1, 2, 3, 4), (1, 1, 2, 3, 4, 4), 20),
    "horse128_autoenc": (128, 128, (1, 1, 2, 3, 4), (1, 1, 2, 3, 4, 4), 20),
}

PRESETS = {
    name: GeneratorConfig(
        UNetConfig(image_size, channels, decoder, encoder), LatentNetConfig(num_layers=layers)
    )
    for name, (image_size, channels, decoder, encoder, layers) in _SIZES.items()
}
"""Sizes of each published autoencoder and of its latent prior."""


def preset(name: str) -> GeneratorConfig:
    """Sizes of a published generator. Raises FacsimileError if the name is unknown."""
    if name not in PRESETS:
        raise FacsimileError(f"no published generator {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
