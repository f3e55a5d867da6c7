"""Training of the joint generator.

Source: "MAUGen: A Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label
Generation" (Li et al., 2026), 3.4. The losses of a batch:

    L_text-AU = ||v_int − v_pre||²                                                    (9)
    L_mask = ||x_mask ⊙ ε − x_mask ⊙ ε_θ(x_t, C_AU, C_T, C_ID, t)||²                  (10)
    L_total = Σ_i λ_i L_i,  λ_i = ||∇_θ L_i|| / (Σ_j ||∇_θ L_j|| + δ),  δ = 1e-6      (11)

where θ is the last layer of the MRL, and L_i are L_mask, L_text-AU with the same for occurrences,
the directional text–image loss 1 − cos(E_I(x) − E_I(x_ID), E_T(T) − E_T(T_neutral)), the
image–label loss, and an identity loss.

What differs from the paper. Codes take the place of pictures in all losses: E_I and the identity
loss read codes, so that no step decodes a picture. x_mask weighs the dimensions of the code by
how much of what they change lies on the face (`face_weights`). The image–label loss compares with
AUs that several detectors read alike in the decoded picture of the true code; that picture is
decoded before training, and judged realistic by its code. L_mask is weighted over timesteps as
in the prediction of velocity (Salimans and Ho, 2022), because its own weight vanishes where nearly
all is noise, and there the prompt decides most.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facsimile.describing.conditions import mlp
from facsimile.describing.joint_generator import Generated, JointGenerator
from facsimile.describing.options import JointTrainingOptions
from facsimile.describing.schedules import warm_cosine
from facsimile.describing.text_encoder import TextEncoder, TextFeatures
from facsimile.faces.aus import ACTIVE_THRESHOLD
from facsimile.generator.diffusion import TIMESTEPS, add_noise, latent_scheduler

_DELTA = 1e-6
_MAX_WEIGHT = 5.0  # of L_mask at a timestep
_NORM_EVERY = 10  # steps between measurements of the gradient norms
_NORM_DECAY = 0.9
_TEMPERATURE = 0.1
NEUTRAL_PROMPT = "a neutral face"


@dataclass(frozen=True)
class TrainingFaces:
    """N faces to learn from.

    Attributes:
        z: codes (N, D).
        exemplars: codes (N, D) of the same people without expression.
        aus: v_pre, AU intensities in [0, 1] that the descriptions tell (N, 12).
        agreed: AU intensities that several detectors read alike (N, 12); NaN where they differ.
        face_weights: x_mask, weight of each dimension of a code (D,), of mean 1.
        identity: linear readout of identity from codes, mean (D,) and basis (D, K).
    """

    z: Tensor
    exemplars: Tensor
    aus: Tensor
    agreed: Tensor
    face_weights: Tensor
    identity: tuple[Tensor, Tensor]

    def to(self, device: torch.device) -> "TrainingFaces":
        """The same on another device."""
        parts = (self.z, self.exemplars, self.aus, self.agreed, self.face_weights)
        return TrainingFaces(
            *(part.to(device) for part in parts), tuple(part.to(device) for part in self.identity)
        )


Describe = Callable[[int, int], str]
"""(row, step) → a description of a face, another one in each step."""


def face_weights(z: np.ndarray, images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Share of the face in what each dimension of the code changes in the picture, of mean 1, (D,).

    The picture is taken as linear in the code, fitted by ridge regression.

    Args:
        z: codes (N, D).
        images: uint8 (N, H, W, 3).
        mask: bool (H, W), true on the face.
    """
    z = np.asarray(z, np.float64) - np.mean(z, axis=0)
    pixels = images.reshape(len(images), -1, 3).mean(-1)
    pixels = pixels - pixels.mean(0)
    slopes = np.linalg.solve(z.T @ z + len(z) * np.eye(z.shape[1]), z.T @ pixels)
    energy = np.square(slopes)
    share = energy[:, mask.ravel()].sum(1) / energy.sum(1)
    return share / share.mean()


class DualEncoder(nn.Module):
    """E_I and E_T: codes and descriptions in one space, trained by contrast (Radford et al., 2021).

    Args:
        z_dim: D.
        text_dim: E.
    """

    def __init__(self, z_dim: int, text_dim: int, width: int = 128) -> None:
        super().__init__()
        self.face = mlp(z_dim, 2 * width, width)
        self.text = mlp(text_dim, 2 * width, width)

    def loss(self, z: Tensor, text: TextFeatures) -> Tensor:
        """Cross-entropy of finding the description of each face, and the face of each."""
        faces, texts = F.normalize(self.face(z)), F.normalize(self.text(text.pooled))
        scores = faces @ texts.T / _TEMPERATURE
        own = torch.arange(len(z), device=z.device)
        return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


@dataclass
class JointTraining:
    """Trains a `JointGenerator`.

    Attributes:
        options: length, batch size and learning rate.
        faces: what to learn from.
        describe: descriptions of the faces.
        encoder: text encoder, which stays as it is.
        device: device of the networks.
    """

    options: JointTrainingOptions
    faces: TrainingFaces
    describe: Describe
    encoder: TextEncoder
    device: torch.device

    def __post_init__(self) -> None:
        self.faces = self.faces.to(self.device)
        self.draws = torch.Generator().manual_seed(self.options.seed)
        self.scheduler = latent_scheduler()
        # Rare AUs are drawn as often as frequent ones by half of the draws.
        levels = self.faces.aus.cpu()
        share = levels / levels.mean(0).clamp_min(1e-6)
        self.chances = 1 + share.mean(1)

    def run(self, model: JointGenerator, on_step: Callable[[int], None]) -> JointGenerator:
        """Train and return the moving average of the weights."""
        options = self.options
        model = model.to(self.device).train()
        average = torch.optim.swa_utils.AveragedModel(
            model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(options.ema)
        )
        dual = self._train_dual_encoder()
        with torch.no_grad():
            neutral = dual.text(self._encode([NEUTRAL_PROMPT]).pooled)
        optimizer = torch.optim.AdamW(model.parameters(), options.lr, weight_decay=0.01)
        schedule = warm_cosine(optimizer, options.steps)
        norms: dict[str, float] = {}
        for step in range(options.steps):
            losses = self.losses(model, dual, neutral, step)
            if step % _NORM_EVERY == 0:
                norms = _gradient_norms(losses, model.representation[-1].linear.weight, norms)
            total = sum(norms.values()) + _DELTA
            optimizer.zero_grad()
            sum(norms[name] / total * loss for name, loss in losses.items()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
            on_step(1)
        self.history_ = {name: float(loss.detach()) for name, loss in losses.items()}
        self.weights_ = {name: norm / total for name, norm in norms.items()}
        return average.module.eval().requires_grad_(False)

    def losses(
        self, model: JointGenerator, dual: DualEncoder, neutral: Tensor, step: int
    ) -> dict[str, Tensor]:
        """L_i of one batch."""
        faces = self.faces
        rows, text = self._draw(step)
        z, exemplars = faces.z[rows], faces.exemplars[rows]
        size = len(z)
        timesteps = torch.randint(TIMESTEPS, (size,), generator=self.draws).to(self.device)
        noise = torch.randn(z.shape, generator=self.draws).to(self.device)
        keep = torch.rand(size, generator=self.draws).to(self.device) >= self.options.hide_text
        conditions = model.conditions(text, exemplars, keep)
        if model.mutual and step % 2:
            # C_AU of the step before, which was noisier, detached.
            before = (timesteps + TIMESTEPS // self.options.sampling_steps).clamp(max=TIMESTEPS - 1)
            with torch.no_grad():
                z_t = add_noise(self.scheduler, z, noise, before)
                queries = model(z_t, before, exemplars, conditions).labels.queries
            conditions = conditions.with_aus(queries)
        z_t = add_noise(self.scheduler, z, noise, timesteps)
        generated = model(z_t, timesteps, exemplars, conditions)

        alpha_bar = self.scheduler.alphas_cumprod.to(self.device)[timesteps]
        weight = (1 / (1 - alpha_bar)).clamp(max=_MAX_WEIGHT)
        errors = (faces.face_weights * (generated.z - z).square()).mean(1)
        change = dual.face(generated.z) - dual.face(exemplars)
        direction = 1 - F.cosine_similarity(change, dual.text(text.pooled) - neutral)
        mean, basis = faces.identity
        person = F.cosine_similarity((generated.z - mean) @ basis, (exemplars - mean) @ basis)
        told = keep.float()
        return {
            "denoising": (weight * errors).mean(),
            "text-label": _label_loss(generated, faces.aus[rows], told),
            "image-label": _label_loss(generated, faces.agreed[rows], torch.ones_like(told)),
            "text-image": (told * direction).mean(),
            "identity": (1 - person).mean(),
        }

    def _draw(self, step: int) -> tuple[Tensor, TextFeatures]:
        size = min(self.options.batch_size, len(self.chances))
        rows = torch.multinomial(self.chances, size, generator=self.draws)
        sentences = [self.describe(row, step) for row in rows.tolist()]
        return rows.to(self.device), self._encode(sentences)

    def _encode(self, sentences: list[str]) -> TextFeatures:
        return self.encoder.encode(sentences).to(self.device)

    def _train_dual_encoder(self) -> DualEncoder:
        steps = self.options.steps // 4
        dual = DualEncoder(self.faces.z.shape[1], self.encoder.dim).to(self.device)
        optimizer = torch.optim.AdamW(dual.parameters(), 1e-3, weight_decay=0.1)
        for step in range(steps):
            rows, text = self._draw(-1 - step)
            loss = dual.loss(self.faces.z[rows], text)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return dual.eval().requires_grad_(False)


def _label_loss(generated: Generated, aus: Tensor, weight: Tensor) -> Tensor:
    """Eq. (9) and the cross-entropy of occurrences, on AUs that are not NaN.

    Args:
        aus: intensities (B, 12).
        weight: of each face (B,).
    """
    labels = generated.labels
    known = (~aus.isnan()).float() * weight[:, None]
    truth = aus.nan_to_num()
    active = (truth >= ACTIVE_THRESHOLD).float()
    occurrence = F.binary_cross_entropy_with_logits(labels.occurrence, active, reduction="none")
    errors = (labels.intensity - truth).square() + 0.1 * occurrence
    return (known * errors).sum() / known.sum().clamp_min(1.0)


def _gradient_norms(
    losses: dict[str, Tensor], theta: Tensor, before: dict[str, float]
) -> dict[str, float]:
    """||∇_θ L_i||, as a moving average."""
    norms = {}
    for name, loss in losses.items():
        (gradient,) = torch.autograd.grad(loss, theta, retain_graph=True)
        norm = float(gradient.norm())
        norms[name] = _NORM_DECAY * before[name] + (1 - _NORM_DECAY) * norm if before else norm
    return norms
