"""Sizes of a Diffusion Autoencoder, read from and written to ``config.json``."""

import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from facsimile.errors import FacsimileError


@dataclass(frozen=True)
class UNetConfig:
    """Semantic encoder and conditional DDIM decoder.

    `z_dim` is both the size of z_sem and the width of the time embedding (embed_channels of the
    reference). Attention is applied at the side lengths in `attention_resolutions`, counted after
    the pixel-unshuffle by `patch_size` (1 in the reference). The decoder predicts the noise
    ("epsilon", the reference) or the face ("sample", see `diffusion.blend`). The latter also works
    if the network has fewer channels than a patch has values.
    The encoder ends in average pooling (the reference) or in a linear layer over all positions
    ("flatten"), which learns positions from far fewer faces.
    """

    image_size: int
    model_channels: int
    channel_mult: tuple[int, ...]
    encoder_channel_mult: tuple[int, ...]
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (16,)
    z_dim: int = 512
    dropout: float = 0.1
    patch_size: int = 1
    prediction: Literal["epsilon", "sample"] = "epsilon"
    encoder_pool: Literal["average", "flatten"] = "average"


@dataclass(frozen=True)
class LatentNetConfig:
    """MLP with skips that denoises z_sem (latent diffusion prior)."""

    hidden: int = 2048
    num_layers: int = 10
    time_channels: int = 64


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything needed to rebuild a `DiffAEPipeline` before loading its weights.

    `latent_net` is None for a generator without a latent prior, which can encode and decode faces
    but cannot sample new codes.
    """

    unet: UNetConfig
    latent_net: LatentNetConfig | None = field(default_factory=LatentNetConfig)

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str) -> "GeneratorConfig":
        """Build from nested mappings; `source` names the file in errors."""
        return _build(cls, values, source)

    @classmethod
    def load(cls, path: Path) -> "GeneratorConfig":
        """Read ``config.json``. Raises FacsimileError if it is missing or invalid.

        The key ``generator``, the generator's name in the registry, is optional.
        """
        try:
            values = json.loads(Path(path).read_text())
        except OSError as error:
            raise FacsimileError(f"{path}: no generator config here ({error.strerror})") from error
        except json.JSONDecodeError as error:
            raise FacsimileError(f"{path}: not valid JSON ({error})") from error
        if isinstance(values, dict):
            values.pop("generator", None)
        return cls.from_dict(values, str(path))

    def save(self, path: Path) -> None:
        """Write ``config.json``."""
        Path(path).write_text(json.dumps(asdict(self), indent=2) + "\n")


def _build(kind: type, values: Any, source: str) -> Any:
    if not isinstance(values, dict):
        raise FacsimileError(f"{source}: {kind.__name__} must be a mapping, found {values!r}")
    expected = {f.name: f for f in fields(kind)}
    unknown = sorted(set(values) - set(expected))
    if unknown:
        raise FacsimileError(f"{source}: unknown {kind.__name__} key {', '.join(unknown)}")
    arguments = {}
    for name, value in values.items():
        annotation = expected[name].type
        optional = NoneType in get_args(annotation)
        nested = get_args(annotation)[0] if optional else annotation
        if is_dataclass(nested) and not (optional and value is None):
            value = _build(nested, value, source)
        if get_origin(nested) is Literal and value not in get_args(nested):
            allowed = ", ".join(get_args(nested))
            raise FacsimileError(f"{source}: {name} {value!r} is not one of {allowed}")
        arguments[name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**arguments)
    except TypeError as error:
        raise FacsimileError(f"{source}: {error}") from error
