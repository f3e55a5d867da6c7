"""Light augmentation: parameters are drawn per face, and a batch is transformed at once."""

import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT = 0.06  # share of the image side, in either direction
ROTATION = 0.10  # radians, in either direction
SCALE = 0.06
BRIGHTNESS = 0.25  # in units of the [-1, 1] range
CONTRAST = 0.25
SATURATION = 0.35


def augment(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Mirror, shift, rotate, scale and recolour each face slightly.

    Labels stay valid: AUs are symmetric, so mirroring does not change them either.

    Args:
        images: float (B, 3, H, W) in [-1, 1].
        generator: CPU generator of the draws, even if the images are on a GPU.
        strength: factor on all limits. It does not affect mirroring.

    Returns:
        New images, clipped to [-1, 1].
    """

    def uniform(limit: float) -> Tensor:
        draws = torch.rand(len(images), generator=generator) * 2 - 1
        return (strength * limit * draws).to(images)

    mirror = 1 - 2 * (torch.rand(len(images), generator=generator) < 0.5).to(images)
    angle, scale = uniform(ROTATION), 1 + uniform(SCALE)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    # The sampling grid spans [-1, 1], so shifts are doubled.
    rows = [torch.stack([mirror * cos, -sin, uniform(2 * SHIFT)], dim=1)]
    rows.append(torch.stack([mirror * sin, cos, uniform(2 * SHIFT)], dim=1))
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    brightness, contrast, saturation = uniform(BRIGHTNESS), uniform(CONTRAST), uniform(SATURATION)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (1 + saturation[:, None, None, None])
    images = images * (1 + contrast[:, None, None, None]) + brightness[:, None, None, None]
    return images.clamp_(-1, 1)
