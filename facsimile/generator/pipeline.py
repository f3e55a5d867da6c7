"""`DiffAEPipeline`: encode, invert, decode and sample with one set of shipped weights."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from facsimile.digests import record_digests
from facsimile.errors import FacsimileError
from facsimile.generator import diffusion
from facsimile.generator.config import GeneratorConfig
from facsimile.generator.latent_net import LatentNet
from facsimile.generator.unet import DiffAEUNet

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "generator.safetensors"


class DiffAEPipeline(torch.nn.Module):
    """Diffusion Autoencoder (Preechakul et al., CVPR 2022, arXiv:2111.15640) ready for inference.

    Images are float (B, 3, H, W) in [-1, 1], H = W = `image_size`. "z_sem" is the raw encoder
    output, "z" the same normalised by the latent mean and std of the training faces. Every method
    works on one batch without gradients; methods that draw nothing are deterministic.

    Attributes:
        config: sizes.
        model: UNet with the semantic encoder as ``model.encoder``.
        latent_net: latent diffusion prior over z; None if the config has none.
        conds_mean, conds_std: latent statistics (z_dim,).
        solver: what inverts and decodes: "ddim", the reference, or "dpm++", whose results with 10
            steps are like those of the reference with 100.
    """

    def __init__(self, config: GeneratorConfig) -> None:
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
        self.solver: diffusion.Solver = "ddim"

    @classmethod
    def from_pretrained(
        cls,
        path: Path | str,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        solver: diffusion.Solver = "ddim",
    ) -> "DiffAEPipeline":
        """Load ``config.json`` and ``generator.safetensors`` from a folder.

        Args:
            path: folder written by `save_pretrained`.
            device: torch device of all weights.
            dtype: type the networks compute in; diffusion arithmetic stays float32.
            solver: see the attribute of that name.

        Raises:
            FacsimileError: a file is absent or broken, or a parameter is missing, unexpected or of
                another shape than the config implies.
        """
        path = Path(path)
        pipeline = cls(GeneratorConfig.load(path / CONFIG_FILE))
        pipeline.solver = solver
        weights = path / WEIGHTS_FILE
        try:
            state = load_file(weights)
        except (OSError, SafetensorError) as error:
            raise FacsimileError(f"{weights}: not readable as safetensors ({error})") from error
        pipeline.load_weights(state, str(weights))
        # Channels-last is what CPU and GPU convolution kernels want; values do not change.
        pipeline.model.to(device, dtype, memory_format=torch.channels_last)
        if pipeline.latent_net is not None:
            pipeline.latent_net.to(device, dtype)
        return pipeline.to(device).eval().requires_grad_(False)

    def load_weights(self, state: dict[str, Tensor], source: str) -> None:
        """Copy `state` in, every parameter by name and none left over.

        Args:
            state: names ``model.*``, ``latent_net.*``, ``conds_mean``, ``conds_std``, and aliases
                (see `without_aliases`).
            source: file named in errors.

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
            dtype: type the weights are stored in; latent statistics stay float32.
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
        """Have encoder and decoder compiled at their first batch, by ``torch.compile(**options)``.

        This takes a minute or so, and again for another batch size, the last time for all further
        ones. ``mode="reduce-overhead"`` records CUDA graphs, one for each batch size.
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
    def encode(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) → raw z_sem (B, z_dim) float32."""
        z_sem = self.model.encoder(self._check_images(images).to(self.dtype))
        # Copied, because a CUDA graph writes the next codes where it wrote these.
        return z_sem.to(torch.float32, copy=True)

    def normalize(self, z_sem: Tensor) -> Tensor:
        """Raw z_sem → z with zero mean and unit variance over the training faces."""
        return (z_sem.to(self.device) - self.conds_mean) / self.conds_std

    def denormalize(self, z: Tensor) -> Tensor:
        """z → raw z_sem; inverse of `normalize`."""
        return z.to(self.device) * self.conds_std + self.conds_mean

    @torch.inference_mode()
    def invert(self, images: Tensor, z_sem: Tensor, steps: int) -> Tensor:
        """The x_T (B, 3, H, W) from which `decode` in as many steps gives the images back."""
        images = self._check_images(images)
        _, invert = diffusion.SOLVERS[self.solver]
        return invert(self._eps(z_sem), self.image_scheduler, images, steps)

    @torch.inference_mode()
    def decode(self, z_sem: Tensor, x_t: Tensor, steps: int) -> Tensor:
        """Raw z_sem (B, z_dim) and x_T (B, 3, H, W) → images in [-1, 1], deterministic."""
        x_t = self._check_images(x_t)
        sample, _ = diffusion.SOLVERS[self.solver]
        return sample(self._eps(z_sem), self.image_scheduler, x_t, steps)

    def decode_sweep(self, z_sem: Tensor, x_t: Tensor, steps: int) -> Tensor:
        """Edits of faces, each with the one x_T of its face.

        Args:
            z_sem: raw codes (B, S, z_dim) of S edits of each face.
            x_t: (B, 3, H, W), inverted once.
            steps: see `decode`.

        Returns:
            Images (B, S, 3, H, W), of B · S faces decoded as one batch.
        """
        faces, edits = z_sem.shape[:2]
        images = self.decode(z_sem.flatten(0, 1), x_t.repeat_interleave(edits, 0), steps)
        return images.unflatten(0, (faces, edits))

    @torch.inference_mode()
    def sample_z(self, noise: Tensor, steps: int) -> Tensor:
        """Noise (B, z_dim) → raw z_sem (B, z_dim) by the latent diffusion prior.

        Raises:
            FacsimileError: the generator has no prior, or `steps` does not divide 1000.
        """
        if self.latent_net is None:
            raise FacsimileError("the generator has no latent prior: it samples no new faces")

        def eps(z_t: Tensor, timesteps: Tensor) -> Tensor:
            return self.latent_net(z_t.to(self.dtype), timesteps)

        noise = noise.to(self.device, torch.float32)
        return self.denormalize(diffusion.sample(eps, self.latent_scheduler, noise, steps))

    def _eps(self, z_sem: Tensor) -> diffusion.EpsModel:
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
                f"images have shape {tuple(images.shape)}, the generator takes (B, {expected[0]}, "
                f"{expected[1]}, {expected[2]})"
            )
        images = images.to(self.device, torch.float32)
        return images.contiguous(memory_format=torch.channels_last)


def without_aliases(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out ``linear_emb``, which the reference stores beside its alias ``cond_layers.1``."""
    return {name: value for name, value in state.items() if ".linear_emb." not in name}


def check_parameters(found: dict[str, Tensor], expected: dict[str, Tensor], source: str) -> None:
    """Compare the names and shapes of parameters.

    Raises:
        FacsimileError: a parameter is missing, unexpected or of another shape; `source` is the
            file named, the first few parameters are, too.
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
