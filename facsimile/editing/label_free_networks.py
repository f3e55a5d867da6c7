"""Networks of the label-free editor and their training.

Source: "LEED: Label-Free Expression Editing via Disentanglement" (Wu and Lu, 2020), 3.2 to 3.4.
Equations are quoted in label_free.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facsimile.editor_options import LabelFreeOptions


class Extractor(nn.Module):
    """X: the expression of a face, from its code and that of the neutral face.

    Starts as their difference, Eq. (1).

    Args:
        z_dim: dimension of a code.
        width: width of the hidden layer.
    """

    def __init__(self, z_dim: int, width: int) -> None:
        super().__init__()
        self.difference = nn.Linear(z_dim, z_dim, bias=False)
        nn.init.eye_(self.difference.weight)
        self.correction = _mlp(2 * z_dim, width, z_dim, start_at_zero=True)

    def forward(self, face: Tensor, neutral: Tensor) -> Tensor:
        """Expression (B, D) of codes (B, D)."""
        both = torch.cat([face, neutral], dim=1)
        return self.difference(face - neutral) + self.correction(both)


class Interpolator(nn.Module):
    """I: the code of a person with an expression. Starts as their sum, Eq. (5).

    Args:
        z_dim: dimension of a code.
        width: width of the hidden layer.
    """

    def __init__(self, z_dim: int, width: int) -> None:
        super().__init__()
        self.correction = _mlp(2 * z_dim, width, z_dim, start_at_zero=True)

    def forward(self, neutral: Tensor, expression: Tensor) -> Tensor:
        """Codes (B, D) of neutral codes (B, D) with expressions (B, D)."""
        return neutral + expression + self.correction(torch.cat([neutral, expression], dim=1))


@dataclass(frozen=True)
class LabelFreeTraining:
    """Trains X and I together with Q, the critic D and the siamese network S.

    Attributes:
        options: sizes, weights of losses and length.
        device: device of the networks.
    """

    options: LabelFreeOptions
    device: torch.device

    def run(
        self,
        faces: Tensor,
        neutral: Tensor,
        resting: Tensor,
        features: Tensor,
        on_step: Callable[[int], None] = lambda count: None,
    ) -> tuple[Extractor, Interpolator]:
        """Train on codes of faces without any label.

        Args:
            faces: codes C (N, D).
            neutral: codes C_N (N, D) of the neutralized faces.
            resting: codes (N, D) of the same people at rest, to learn Δ from.
            features: expression features F (N, E) of the faces.
            on_step: called with 1 after each step.
        """
        options = self.options
        draws = torch.Generator().manual_seed(options.seed)
        faces, neutral, resting, features = (
            part.float().to(self.device) for part in (faces, neutral, resting, features)
        )
        features = (features - features.mean(0)) / features.std(0).clamp_min(1e-6)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            z_dim, width = faces.shape[1], options.width
            extractor = Extractor(z_dim, width).to(self.device)
            interpolator = Interpolator(z_dim, width).to(self.device)
            q = _mlp(features.shape[1], width, z_dim).to(self.device)
            siamese = _mlp(z_dim, width, options.embedding).to(self.device)
            critic = _mlp(z_dim, width, 1).to(self.device)
        parameters = [
            value for part in (extractor, interpolator, q, siamese) for value in part.parameters()
        ]
        betas = (0.5, 0.999)
        optimizer = torch.optim.Adam(parameters, lr=options.lr, betas=betas)
        critic_optimizer = torch.optim.Adam(critic.parameters(), lr=options.lr, betas=betas)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)

        for _ in range(options.steps):
            a, b = (
                torch.randint(len(faces), (options.batch_size,), generator=draws).to(self.device)
                for _ in range(2)
            )
            alpha = torch.rand(options.batch_size, 1, generator=draws).to(self.device)
            mix = torch.rand(options.batch_size, 1, generator=draws).to(self.device)
            expression = extractor(faces[b], neutral[b])
            interpolated = interpolator(resting[a], alpha * expression)

            critic_loss = _critic_loss(critic, faces[a], interpolated.detach(), mix, options)
            critic_optimizer.zero_grad()
            critic_loss.backward()
            critic_optimizer.step()

            observed = faces[b] - resting[b]
            whole = interpolator(resting[a], expression)
            own = interpolator(resting[a], extractor(faces[a], neutral[a]))
            of_reference = siamese(faces[b]) - siamese(resting[b])
            of_result = siamese(whole) - siamese(resting[a])
            loss = (
                F.mse_loss(expression, observed)  # Eq. (2)
                + options.information_weight * F.mse_loss(q(features[b]), expression)  # Eq. (3)
                - options.adversarial_weight * critic(interpolated).mean()  # Eq. (13)
                + F.mse_loss(interpolated, resting[a] + alpha * expression)  # Eq. (6)
                + F.mse_loss(own, faces[a])  # Eq. (7)
                + options.siamese_weight
                * (1 - F.cosine_similarity(of_reference, of_result)).mean()  # Eq. (11)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            on_step(1)
        return extractor.eval().requires_grad_(False), interpolator.eval().requires_grad_(False)


def _critic_loss(
    critic: nn.Module, real: Tensor, fake: Tensor, mix: Tensor, options: LabelFreeOptions
) -> Tensor:
    """Wasserstein loss with gradient penalty, Eq. (12) without the logarithms: a critic's output
    can be negative."""
    between = (mix * real + (1 - mix) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = (gradient.norm(dim=1) - 1).square().mean()
    return critic(fake).mean() - critic(real).mean() + options.gradient_penalty * penalty


def _mlp(before: int, width: int, after: int, start_at_zero: bool = False) -> nn.Sequential:
    last = nn.Linear(width, after)
    if start_at_zero:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(before, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last
    )
