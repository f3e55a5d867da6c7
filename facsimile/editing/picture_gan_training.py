"""Adversarial training of the picture-to-picture editors.

Source: Ling et al., "Toward Fine-grained Facial Expression Manipulation", ECCV 2020, 3.4, and
Pumarola et al., "GANimation", ECCV 2018, for absolute conditions. With a source picture x, its AU
levels v_src, target levels v_tgt and x' = G(x, v), v = v_tgt - v_src:

    L_D_adv  = D_adv(x) - D_adv(x') - λ_gp (‖∇ D_adv(x̂)‖_2 - 1)²               (3)
    L_G_adv  = D_adv(x')                                                       (4)
    L_D_cond = ‖D_cond(x) - v_src‖²                                            (5)
    L_G_cond = ‖D_cond(x') - v_tgt‖²                                           (6)
    L_rec    = ‖x - G(x, 0)‖_1 + ‖G(x', -v) - x‖_1                             (7)
    L_D      = -L_D_adv + λ_1 L_D_cond                                         (8)
    L_G      = -L_G_adv + λ_2 L_G_cond + λ_3 L_rec + λ_4 L_tv                  (9)

Norms of (5) to (7) are means over AUs and pixels, as in the code of the authors. With absolute
conditions v = v_tgt, the cycle returns to v_src, nothing asks for an unchanged picture, and the
mean and the total variation of the attention masks are penalised, not the variation of pictures.

What differs from the papers, because a CPU core trains for minutes here, not a GPU for days:

- D_cond learns alone before G joins, so that G follows its readings from the first step. It learns
  more slowly afterwards, so that G can keep up.
- D takes one step per step of G, not four or five, at ten times the learning rate.
- λ_3 of the relative editor is 10, as in GANimation, not 30. Leaving the picture as it is costs
  nothing in (7), and G learns to edit before it learns to edit back.
- Half of the targets change a few AUs of the source at random; the others are the labels of another
  face. Users ask for single AUs and combinations that no labelled face shows.
- Pictures are lightly augmented. There are few people to learn from.
- Networks compute in bfloat16 where that is fast. Without, training takes three times as long.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from facsimile.detection.augmentation import augment
from facsimile.detection.detector import masked_mse
from facsimile.detection.oracle import computes_bfloat16
from facsimile.editing.picture_gan import Critic, EditingNetwork
from facsimile.editor_options import PictureGANOptions
from facsimile.faces.tables import to_tensor

READING_STEPS = 2.0
"""Steps for D_cond alone, as a multiple of the steps of G."""

_AUGMENTATION = 0.5
"""Strength of the augmentation."""

_CRITIC_RATE = 0.2
"""Learning rate of D as a share of that of G. Readings that change fast cannot be followed."""

_CONSTANT, _END = 2 / 3, 0.1
"""The learning rate is constant for this share of the steps, then falls linearly to this share."""

_MOST_CHANGED = 6
"""Largest number of AUs that a random target changes."""


@dataclass(frozen=True)
class PictureGANTraining:
    """Trains G and D; `run` trains a pair.

    Attributes:
        options: weights of the losses and length of the training.
        relative: whether G is conditioned on v_tgt - v_src or on v_tgt.
        attention: see `EditingNetwork`.
        device: "cpu" or "cuda".
    """

    options: PictureGANOptions
    relative: bool
    attention: bool
    device: torch.device | str = "cpu"

    def run(
        self, images: np.ndarray, labels: np.ndarray, advance: Callable[[int], None]
    ) -> tuple[EditingNetwork, Critic]:
        """Train on N faces.

        Args:
            images: uint8 (N, H, W, 3).
            labels: levels of the K AUs to edit (N, K), NaN = not annotated.
            advance: called with 1 after each step of G.

        Returns:
            G and D in evaluation mode. Global random generators are restored.
        """
        options, device = self.options, torch.device(self.device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(options.seed)
            size, conditions = images.shape[1], labels.shape[1]
            network = EditingNetwork(
                conditions, size, options.width, options.fusion, self.attention
            ).to(device)
            critic = Critic(conditions, size, options.critic_width).to(device)
        run = _Run(self, network, critic, images, labels)
        for _ in range(round(READING_STEPS * options.steps)):
            run.step_reading()
        run.start_network()
        for _ in range(options.steps):
            for _ in range(options.critic_steps):
                run.step_critic()
            run.step_network()
            advance(1)
        return network.eval(), critic.eval()

    def condition(self, source: Tensor, target: Tensor) -> Tensor:
        """What G sees (N, K) to lead from source to target levels; unknown levels count as 0."""
        return (target - source if self.relative else target).nan_to_num(nan=0.0)


class _Run:
    """One training with its optimizers and random draws."""

    def __init__(
        self,
        training: PictureGANTraining,
        network: EditingNetwork,
        critic: Critic,
        images: np.ndarray,
        labels: np.ndarray,
    ) -> None:
        self.training, self.options = training, training.options
        self.network, self.critic = network, critic
        self.device = torch.device(training.device)
        self.images, self.labels = images, torch.from_numpy(labels.astype(np.float32))
        self.draws = torch.Generator().manual_seed(self.options.seed)
        self.autocast = computes_bfloat16(self.device)
        self.optimizers = {
            module: torch.optim.Adam(module.parameters(), lr=self.options.lr, betas=(0.5, 0.999))
            for module in (network, critic)
        }
        self.schedules: list[LambdaLR] = []

    def start_network(self) -> None:
        """Begin the schedules of the learning rates, after D_cond has learnt to read."""
        steps = self.options.steps
        for module, share in ((self.network, 1.0), (self.critic, _CRITIC_RATE)):
            self.schedules.append(
                LambdaLR(
                    self.optimizers[module],
                    lambda step, share=share: share * _rate(step / steps),
                )
            )

    def step_reading(self) -> None:
        """One step of D_cond alone, Eq. 5."""
        images, labels = self.draw()
        with self._autocast():
            loss = masked_mse(self.critic(images)[1], labels)
        # Weighted as in Eq. 8, because Adam keeps the scale of past gradients.
        self._step(self.critic, self.options.condition * loss)

    def step_critic(self) -> None:
        """One step of D, Eq. 8."""
        images, source = self.draw()
        with torch.no_grad():
            edited, _ = self._edit(images, source, draw_targets(source, self.labels, self.draws))
        share = torch.rand(len(images), 1, 1, 1, generator=self.draws).to(self.device)
        between = (share * images + (1 - share) * edited).requires_grad_()
        with self._autocast():
            realism, readings = self.critic(torch.cat([images, edited, between]))
        real, fake, mixed = realism.chunk(3)
        (slope,) = torch.autograd.grad(mixed.sum(), between, create_graph=True)
        penalty = (slope.float().flatten(1).norm(dim=1) - 1).square().mean()
        adversarial = real.mean() - fake.mean() - self.options.penalty * penalty
        reading = masked_mse(readings[: len(images)], source)
        self._step(self.critic, -adversarial + self.options.condition * reading)

    def step_network(self) -> None:
        """One step of G, Eq. 9, and one of the learning rates."""
        options = self.options
        images, source = self.draw()
        target = draw_targets(source, self.labels, self.draws)
        edited, mask = self._edit(images, source, target)
        cycle, cycle_mask = self._edit(edited, target, source)
        reconstruction = (cycle - images).abs().mean()
        if self.training.relative:
            same, _ = self._edit(images, source, source)
            reconstruction = reconstruction + (same - images).abs().mean()
        with self._autocast():
            realism, readings = self.critic(edited)
        loss = (
            -realism.mean()
            + options.condition * masked_mse(readings, target)
            + options.reconstruction * reconstruction
        )
        if mask is None:
            loss = loss + options.variation * total_variation(edited)
        else:
            masks = torch.cat([mask, cycle_mask])
            # Both terms once per mask, as GANimation adds them up.
            loss = loss + 2 * options.attention * masks.mean()
            loss = loss + 2 * options.variation * total_variation(masks)
        self._step(self.network, loss)
        for schedule in self.schedules:
            schedule.step()

    def draw(self) -> tuple[Tensor, Tensor]:
        """A batch of pictures (B, 3, H, W), lightly augmented, and their labels (B, K)."""
        size = min(self.options.batch_size, len(self.images))
        rows = torch.randint(len(self.images), (size,), generator=self.draws)
        images = to_tensor(self.images[rows.numpy()], self.device)
        images = augment(images, self.draws, _AUGMENTATION)
        return images, self.labels[rows].to(self.device)

    def _edit(self, images: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        with self._autocast():
            return self.network(images, self.training.condition(source, target))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)

    def _step(self, module: torch.nn.Module, loss: Tensor) -> None:
        optimizer = self.optimizers[module]
        optimizer.zero_grad()
        loss.backward(inputs=list(module.parameters()))
        optimizer.step()


def draw_targets(source: Tensor, labels: Tensor, draws: torch.Generator) -> Tensor:
    """Target levels (B, K) for faces with levels `source` (B, K).

    Half of them are the labels of other faces; their missing labels stay as they are in `source`.
    The other half change 1 to 6 AUs of the source to levels drawn from [0, 1]. An AU with an
    unknown level stays unknown, because the change of a relative condition is then unknown too.

    Args:
        source: NaN = unknown.
        labels: of all training faces (N, K).
        draws: random generator on the CPU.
    """
    size, conditions = source.shape
    others = labels[torch.randint(len(labels), (size,), generator=draws)].to(source)
    others = torch.where(others.isnan(), source, others)
    most = min(_MOST_CHANGED, conditions)
    counts = torch.randint(1, most + 1, (size, 1), generator=draws)
    order = torch.rand(size, conditions, generator=draws).argsort(1).argsort(1)
    levels = torch.rand(size, conditions, generator=draws).to(source)
    changed = torch.where((order < counts).to(source.device), levels, source)
    copied = torch.rand(size, 1, generator=draws) < 0.5
    targets = torch.where(copied.to(source.device), others, changed)
    return torch.where(source.isnan(), source, targets)


def total_variation(images: Tensor) -> Tensor:
    """Sum of absolute differences of neighbouring pixels, mean over images (N, C, H, W)."""
    vertical = images.diff(dim=2).abs().sum()
    return (vertical + images.diff(dim=3).abs().sum()) / len(images)


def _rate(done: float) -> float:
    """Factor of the learning rate after this share of the steps."""
    return 1 - (1 - _END) * max(0.0, done - _CONSTANT) / (1 - _CONSTANT)
