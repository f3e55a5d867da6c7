"""Networks of the picture-to-picture editors: a generator G and a discriminator D.

Source: Ling, Xue, Song, Yang, Xie, Gu, "Toward Fine-grained Facial Expression Manipulation", ECCV
2020, 3.2 and 3.3. G is a U-Net with multi-scale feature fusion (MSF) modules as skip connections.
D_adv and D_cond share their convolutions. The attention mask of G is that of Pumarola, Agudo,
Martinez, Sanfeliu, Moreno-Noguer, "GANimation", ECCV 2018.

What differs from the papers:

- Widths and depths suit small pictures. G halves the picture down to 8 pixels, as the paper does in
  four layers from 128 pixels, and D down to 2 pixels.
- MSF modules have 3 x 3 kernels, not 5 x 5. Most of the computing time is spent there.
- Layers that see the condition have no instance normalisation, as it subtracts the mean of each
  channel, and with it a condition that is the same everywhere.
- Without a mask, the last layer predicts the change of the picture, not the picture. The paper's G
  learns to copy the picture over millions of steps.
- With a mask, G is the same U-Net, not GANimation's network of residual blocks.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facsimile.errors import FacsimileError

_BOTTOM, _MOST_LAYERS = 8, 4
"""Side of the smallest feature maps of G in pixels, and the largest number of halvings."""

_CRITIC_BOTTOM = 2
"""Side of the feature maps on which D judges, in pixels."""

_SLOPE = 0.2
"""Slope of leaky rectifiers."""

_MOST_WIDTH = 8
"""Widths double at each halving, up to this multiple of the first."""


class EditingNetwork(nn.Module):
    """The generator G: edits pictures under a condition (Fig. 3).

    Args:
        conditions: K, dimensions of the condition.
        image_size: H = W of the pictures.
        width: channels at full resolution.
        fusion: skip connections are MSF modules; False is a plain U-Net, the first case of the
            paper's ablation ("k_MSF = 0"). The condition then enters at the bottom only.
        attention: blend the picture with a picture of its own by a mask, as GANimation does, and
            see the condition next to the picture as well. False adds a change to the picture.

    Raises:
        FacsimileError: a picture of `image_size` cannot be halved often enough.
    """

    def __init__(
        self, conditions: int, image_size: int, width: int, fusion: bool, attention: bool
    ) -> None:
        super().__init__()
        self.config = {
            "conditions": conditions,
            "image_size": image_size,
            "width": width,
            "fusion": fusion,
            "attention": attention,
        }
        layers = halvings(image_size, _BOTTOM, _MOST_LAYERS)
        widths = [width * min(2**layer, _MOST_WIDTH) for layer in range(layers + 1)]
        self.attention = attention
        self.first = _conditioned(3 + conditions * attention, width, kernel=5)
        self.down = nn.ModuleList(map(_halving, widths, widths[1:]))
        self.bottom = _conditioned(widths[-1] + conditions, widths[-1])
        self.fusions = nn.ModuleList(
            Fusion(high, low, conditions) for high, low in pairwise(widths[1:]) if fusion
        )
        self.up = nn.ModuleList(
            # All but the lowest layer also see a skip connection.
            _doubling(above if layer == layers - 1 else 2 * above, below)
            for layer, (below, above) in enumerate(pairwise(widths))
        )
        self.last = nn.Conv2d(width, 4 if attention else 3, 5, padding=2)
        if not attention:
            nn.init.zeros_(self.last.weight)

    def forward(self, images: Tensor, condition: Tensor) -> tuple[Tensor, Tensor | None]:
        """Edited pictures and the mask.

        Args:
            images: (N, 3, H, W) in [-1, 1].
            condition: (N, K).

        Returns:
            (N, 3, H, W) in [-1, 1], and with attention the mask (N, 1, H, W) in [0, 1], 1 = pixel
            of the input, else None.
        """
        seen = _with_condition(images, condition) if self.attention else images
        features = self.first(seen)
        levels = []
        for layer in self.down:
            features = layer(features)
            levels.append(features)
        features = fused = self.bottom(_with_condition(levels.pop(), condition))
        for index in reversed(range(len(self.up))):
            features = self.up[index](features)
            if index:
                skipped = levels.pop()
                if self.fusions:
                    skipped = fused = self.fusions[index - 1](skipped, fused, condition)
                features = torch.cat([features, skipped], dim=1)
        output = self.last(features).float()
        if not self.attention:
            return (images + output).clamp(-1, 1), None
        mask, colour = output[:, :1].sigmoid(), output[:, 1:].tanh()
        return mask * images + (1 - mask) * colour, mask


class Fusion(nn.Module):
    """Multi-scale feature fusion (MSF), 3.3 and Fig. 3 (right).

    Args:
        high, low: channels of the features of the encoder, and of those of the module below.
        conditions: dimensions of the condition.
    """

    def __init__(self, high: int, low: int, conditions: int) -> None:
        super().__init__()
        self.first = _conditioned(high + conditions, high)
        self.high_to_high = _convolution(high, high // 2)
        self.high_to_low = _halving(high, low // 2)
        self.low_to_low = _convolution(low, low - low // 2)
        self.low_to_high = _doubling(low, high - high // 2)
        self.raise_low = _doubling(low, high)
        self.last = _convolution(2 * high, high)

    def forward(self, features: Tensor, below: Tensor, condition: Tensor) -> Tensor:
        """Fused features f'_i (N, high, H, W) of f_i and f'_{i+1} (N, low, H / 2, W / 2)."""
        features = self.first(_with_condition(features, condition))
        high = torch.cat([self.high_to_high(features), self.low_to_high(below)], dim=1)
        low = torch.cat([self.high_to_low(features), self.low_to_low(below)], dim=1)
        return self.last(torch.cat([high, self.raise_low(low)], dim=1))


class Critic(nn.Module):
    """The discriminators D_adv and D_cond, which share their convolutions.

    Args:
        conditions: K, number of AUs to read.
        image_size: H = W of the pictures.
        width: channels of the first layer.
    """

    def __init__(self, conditions: int, image_size: int, width: int) -> None:
        super().__init__()
        layers = halvings(image_size, _CRITIC_BOTTOM)
        widths = [3, *(width * min(2**layer, _MOST_WIDTH) for layer in range(layers))]
        self.shared = nn.Sequential()
        for before, after in pairwise(widths):
            self.shared.append(nn.Conv2d(before, after, 4, stride=2, padding=1))
            self.shared.append(nn.LeakyReLU(_SLOPE))
        self.realism = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.reading = nn.Conv2d(widths[-1], conditions, image_size // 2**layers)
        for layer in self.shared[::2]:
            nn.init.kaiming_normal_(layer.weight, _SLOPE)
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Realism D_adv (N,), unbounded, and AU levels D_cond (N, K) of images (N, 3, H, W)."""
        features = self.shared(images)
        realism = self.realism(features).float().mean((1, 2, 3))
        return realism, self.reading(features).float().flatten(1)


def halvings(image_size: int, bottom: int, most: int = 16) -> int:
    """How often a picture is halved: down to `bottom` pixels, at least twice.

    Raises:
        FacsimileError: `image_size` is not divisible so often.
    """
    layers = 2
    while layers < most and image_size > bottom * 2**layers:
        layers += 1
    if image_size % 2**layers:
        raise FacsimileError(
            f"pictures of {image_size} pixels cannot be halved {layers} times; "
            f"picture editors need a multiple of {2**layers}"
        )
    return layers


def _with_condition(features: Tensor, condition: Tensor) -> Tensor:
    """Features (N, C, H, W) with the condition (N, K) as K constant channels more."""
    maps = condition[:, :, None, None].expand(-1, -1, *features.shape[2:])
    return torch.cat([features, maps.to(features)], dim=1)


class _Convolution(nn.Module):
    """A convolution, instance normalisation and a leaky rectifier."""

    def __init__(self, convolution: nn.Module, norm: bool = True) -> None:
        super().__init__()
        self.convolution = convolution
        channels = convolution.out_channels
        self.norm = nn.InstanceNorm2d(channels, affine=True) if norm else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.convolution(features)), _SLOPE)


def _conditioned(before: int, after: int, kernel: int = 3) -> nn.Module:
    return _Convolution(nn.Conv2d(before, after, kernel, padding=kernel // 2), norm=False)


def _convolution(before: int, after: int) -> nn.Module:
    return _Convolution(nn.Conv2d(before, after, 3, padding=1, bias=False))


def _halving(before: int, after: int) -> nn.Module:
    return _Convolution(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False))


def _doubling(before: int, after: int) -> nn.Module:
    return _Convolution(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False))
