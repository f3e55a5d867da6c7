"""Sampling of codes and labels by denoising, with mutual conditioning and guidance."""

from dataclasses import dataclass

import torch
from torch import Tensor

from facsimile.describing.conditions import Conditions
from facsimile.describing.joint_generator import JointGenerator
from facsimile.describing.label_decoder import Labels
from facsimile.describing.text_encoder import TextFeatures
from facsimile.generator import diffusion


@dataclass
class JointSampler:
    """Denoises codes of B faces, Eq. (3) to (5) of `joint_generator`.

    In each step the AU queries of the step before, as a moving average, are C_AU; and the
    prediction is moved away from the one without prompt (Ho and Salimans, 2022):
    ``z = z_free + guidance · (z_told − z_free)``.

    Attributes:
        model: trained generator.
        steps: denoising steps, a divisor of 1000.
        guidance: 1 = none.
        query_decay: share of the earlier steps in the moving average.
    """

    model: JointGenerator
    steps: int
    guidance: float
    query_decay: float

    @torch.inference_mode()
    def __call__(
        self, noise: Tensor, text: TextFeatures, exemplars: Tensor
    ) -> tuple[Tensor, Labels]:
        """Codes (B, D), and the labels that the decoder gives them in the last step.

        Args:
            noise: standard normal (B, D).
            text: features of B prompts.
            exemplars: neutral codes (B, D) of the people.
        """
        scheduler = diffusion.latent_scheduler()
        alpha_bars = scheduler.alphas_cumprod.to(noise.device)
        told = self.model.conditions(text, exemplars)
        hidden = torch.zeros(len(noise), dtype=torch.bool, device=noise.device)
        free = self.model.conditions(text, exemplars, hidden)
        last: Labels | None = None

        def eps(z_t: Tensor, timesteps: Tensor) -> Tensor:
            nonlocal told, free, last
            generated = self.model(z_t, timesteps, exemplars, told)
            last, z = generated.labels, generated.z
            told = self._refined(told, last)
            if self.guidance != 1:
                unguided = self.model(z_t, timesteps, exemplars, free)
                free = self._refined(free, unguided.labels)
                z = unguided.z + self.guidance * (z - unguided.z)
            a = alpha_bars[timesteps][:, None]
            return (z_t - a.sqrt() * z) / (1 - a).sqrt()

        z = diffusion.sample(eps, scheduler, noise, self.steps)
        return z, last

    def _refined(self, conditions: Conditions, labels: Labels) -> Conditions:
        if not self.model.mutual:
            return conditions
        return conditions.with_aus(torch.lerp(labels.queries, conditions.aus, self.query_decay))
