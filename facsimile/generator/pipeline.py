"""`DiffAEPipeline`: the Diffusion Autoencoder as a `Generator`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from facsimile.digests import file_md5, record_digests
from facsimile.errors import FacsimileError
from facsimile.generator import diffusion
from facsimile.generator.base import (
    CONFIG_FILE,
    REFERENCE_OPTIONS,
    WEIGHTS_FILE,
    Codes,
    InferenceOptions,
)
from facsimile.generator.config import GeneratorConfig
from facsimile.generator.latent_net import LatentNet
from facsimile.generator.unet import DiffAEUNet
from facsimile.seeding import sample_noise


class DiffAEPipeline(torch.nn.Module):
    """Diffusion Autoencoder (Preechakul et al., CVPR 2022, arXiv:2111.15640) ready for inference.

    Implements `facsimile.generator.base.Generator`, which documents `encode`, `invert`, `decode`
    and `sample`. "z_sem" is the raw encoder output; `Codes` hold z, which is z_sem normalised by
    the latent mean and std of the training faces. Every method works on one batch without
    gradients.

    Attributes:
        config: sizes of the networks.
        model: UNet with the semantic encoder as ``model.encoder``.
        latent_net: latent diffusion prior over z; None if the config has none.
        conds_mean, conds_std: latent statistics (z_dim,).
        options: solver and steps.
        digest: MD5 of the weights file; empty if the weights were not loaded from a file.
    """

    def __init__(
        self, config: GeneratorConfig, options: InferenceOptions = REFERENCE_OPTIONS
    ) -> None:
        super().__init__()
        self.config = config
        self.model = DiffAEUNet(config.unet)
        self.latent_net = None
        if config.latent_net is not None:
            self.latent_net = LatentNet(config.latent_net, config.unet.z_dim)
        self.register_buffer("conds_mean", torch.zeros(config.unet.z_dim))
        self.register_buffer("conds_std", torch.ones(config.unet.z_dim))
        self.image_scheduler = diffusion.image_scheduler()
        self.latent_scheduler = diffusion.latent_scheduler()
        self.options = options
        self.digest = ""

    @classmethod
    def from_pretrained(
        cls,
        path: Path | str,
        device: str = "cpu",
        options: InferenceOptions = REFERENCE_OPTIONS,
    ) -> "DiffAEPipeline":
        """Load ``config.json`` and ``generator.safetensors`` from a folder.

        Args:
            path: folder written by `save_pretrained`.
            device: torch device of all weights.
            options: solver, steps, precision, and whether to compile.

        Raises:
            FacsimileError: a file is missing or broken, or a parameter is missing, unexpected or
                not of the shape that the config implies.
        """
        path = Path(path)
        pipeline = cls(GeneratorConfig.load(path / CONFIG_FILE), options)
        weights = path / WEIGHTS_FILE
        try:
            state = load_file(weights)
            pipeline.digest = file_md5(weights)
        except (OSError, SafetensorError) as error:
            raise FacsimileError(f"{weights}: not readable as safetensors ({error})") from error
        pipeline.load_weights(state, str(weights))
        # Convolutions are faster in channels-last on CPUs and GPUs; values do not change.
        pipeline.model.to(device, options.dtype, memory_format=torch.channels_last)
        if pipeline.latent_net is not None:
            pipeline.latent_net.to(device, options.dtype)
        pipeline.to(device).eval().requires_grad_(False)
        if options.compile:
            pipeline.compile()
        return pipeline

    def load_weights(self, state: dict[str, Tensor], source: str) -> None:
        """Load all parameters by name; none may be missing or left over.

        Args:
            state: parameters ``model.*``, ``latent_net.*``, ``conds_mean``, ``conds_std``, and
                aliases (see `without_aliases`).
            source: file name for errors.

        Raises:
            FacsimileError: see `check_parameters`.
        """
        state = without_aliases(state)
        check_parameters(state, self.state_dict(), source)
        self.load_state_dict(state)

    def save_pretrained(self, path: Path | str, dtype: torch.dtype = torch.float16) -> None:
        """Write ``config.json``, ``generator.safetensors`` and their digests into a folder.

        Args:
            path: folder, created if absent.
            dtype: storage type of the weights; latent statistics stay float32.
        """
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        self.config.save(path / CONFIG_FILE)
        buffers = {"conds_mean", "conds_std"}
        state = {
            name: value.to("cpu", torch.float32 if name in buffers else dtype).contiguous()
            for name, value in self.state_dict().items()
        }
        save_file(state, path / WEIGHTS_FILE)
        record_digests(path, (CONFIG_FILE, WEIGHTS_FILE))

    def compile(self, **options: Any) -> None:
        """Compile encoder and decoder on their first batch, with ``torch.compile(**options)``.

        This takes about a minute. A second batch size compiles once more, for all further sizes.
        ``mode="reduce-overhead"`` records one CUDA graph per batch size.
        """
        self.model.compile(**options)
        self.model.encoder.compile(**options)

    @property
    def z_dim(self) -> int:
        return self.config.unet.z_dim

    @property
    def image_size(self) -> int:
        return self.config.unet.image_size

    @property
    def device(self) -> torch.device:
        return self.conds_mean.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.out[2].weight.dtype

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Codes:
        z_sem = self.model.encoder(self._check_images(images).to(self.dtype))
        # Copied, because a CUDA graph reuses its output memory for the next batch.
        z_sem = z_sem.to(torch.float32, copy=True)
        return Codes(self.normalize(z_sem), raw=z_sem)

    @torch.inference_mode()
    def invert(self, images: Tensor, codes: Codes) -> Codes:
        images = self._check_images(images)
        _, invert = diffusion.SOLVERS[self.options.solver]
        x_t = invert(self._eps(codes), self.image_scheduler, images, self.options.steps)
        return replace(codes.to(self.device), x_t=x_t)

    @torch.inference_mode()
    def decode(self, codes: Codes) -> Tensor:
        if codes.x_t is None:
            raise FacsimileError("codes without x_T cannot be decoded; invert their images first")
        x_t = self._check_images(codes.x_t)
        sample, _ = diffusion.SOLVERS[self.options.solver]
        return sample(self._eps(codes), self.image_scheduler, x_t, self.options.steps)

    @torch.inference_mode()
    def sample(self, ids: Sequence[str], seed: int) -> Codes:
        if self.latent_net is None:
            raise FacsimileError("the generator has no latent prior, so it cannot sample new faces")

        def eps(z_t: Tensor, timesteps: Tensor) -> Tensor:
            return self.latent_net(z_t.to(self.dtype), timesteps)

        noise = sample_noise(seed, [f"{name}/z" for name in ids], (self.z_dim,)).to(self.device)
        steps = self.options.prior_steps
        return Codes(diffusion.sample(eps, self.latent_scheduler, noise, steps))

    def normalize(self, z_sem: Tensor) -> Tensor:
        """Raw z_sem → z with zero mean and unit variance over the training faces."""
        return (z_sem.to(self.device) - self.conds_mean) / self.conds_std

    def denormalize(self, z: Tensor) -> Tensor:
        """z → raw z_sem; inverse of `normalize` up to rounding."""
        return z.to(self.device) * self.conds_std + self.conds_mean

    def _eps(self, codes: Codes) -> diffusion.EpsModel:
        z_sem = self.denormalize(codes.z) if codes.raw is None else codes.raw
        z_sem = z_sem.to(self.device, self.dtype)

        def eps(x_t: Tensor, timesteps: Tensor) -> Tensor:
            predicted = self.model(x_t.to(self.dtype), timesteps, z_sem).to(x_t.dtype)
            if self.config.unet.prediction == "epsilon":
                return predicted
            return diffusion.sample_to_eps(self.image_scheduler, predicted, x_t, timesteps)

        return eps

    def _check_images(self, images: Tensor) -> Tensor:
        expected = (3, self.image_size, self.image_size)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise FacsimileError(
                f"images have shape {tuple(images.shape)}, the generator expects "
                f"(B, {expected[0]}, {expected[1]}, {expected[2]})"
            )
        images = images.to(self.device, torch.float32)
        return images.contiguous(memory_format=torch.channels_last)


def without_aliases(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Drop ``linear_emb``, which the reference stores again under the alias ``cond_layers.1``."""
    return {name: value for name, value in state.items() if ".linear_emb." not in name}


def check_parameters(found: dict[str, Tensor], expected: dict[str, Tensor], source: str) -> None:
    """Compare the names and shapes of parameters.

    Raises:
        FacsimileError: a parameter is missing, unexpected or has the wrong shape. The message
            names `source` and the first few such parameters.
    """
    for problem, names in (
        ("missing", expected.keys() - found.keys()),
        ("unexpected", found.keys() - expected.keys()),
    ):
        if names:
            first = ", ".join(sorted(names)[:3])
            raise FacsimileError(f"{source}: {len(names)} {problem} parameter(s): {first}")
    for name, value in found.items():
        if value.shape != expected[name].shape:
            raise FacsimileError(
                f"{source}: {name} has shape {tuple(value.shape)}, "
                f"the config implies {tuple(expected[name].shape)}"
            )
