"""DDIM (Song et al., arXiv:2010.02502) as used by the Diffusion Autoencoder; a faster solver.

Legend: alpha_bar_t = prod_{s<=t} (1 - beta_s),
x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps.
Models see the original timestep values 0, k, 2k, … (k = 1000 / steps) in DDIM, and 0 … 999 in
quadratic spacing (as in DDIM's appendix D.2) in DPM-Solver++ (2M; Lu et al., arXiv:2211.01095), a
second-order multistep solver of the same ODE.
"""

from collections.abc import Callable
from typing import Literal

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepInverseScheduler,
    DPMSolverMultistepScheduler,
)
from torch import Tensor

from facsimile.errors import FacsimileError

TIMESTEPS = 1000
BLEND_STD = 0.03
"""s of `blend`, on pixels in [-1, 1]."""
EpsModel = Callable[[Tensor, Tensor], Tensor]
"""(x_t, timesteps (N,)) → eps."""
Sampler = Callable[[EpsModel, DDIMScheduler, Tensor, int], Tensor]
"""(model, scheduler, start, steps) → end."""
Solver = Literal["ddim", "dpm++"]


def image_scheduler() -> DDIMScheduler:
    """Linear betas 1e-4…2e-2; predicted x0 is clipped to [-1, 1]."""
    return DDIMScheduler(
        TIMESTEPS, 1e-4, 2e-2, "linear", clip_sample=True, set_alpha_to_one=True, steps_offset=0
    )


def latent_scheduler() -> DDIMScheduler:
    """Constant beta 0.008 over normalised z_sem; nothing is clipped."""
    return DDIMScheduler(
        TIMESTEPS, trained_betas=[0.008] * TIMESTEPS, clip_sample=False, set_alpha_to_one=True
    )


def _set_steps(scheduler: DDIMScheduler, steps: int) -> None:
    if steps < 1 or TIMESTEPS % steps:
        raise FacsimileError(f"steps={steps}: must divide {TIMESTEPS} (10, 20, 50, 100, 250, …)")
    scheduler.set_timesteps(steps)


def sample(model: EpsModel, scheduler: DDIMScheduler, x_t: Tensor, steps: int) -> Tensor:
    """Deterministic DDIM sampling (eta = 0), x_T → x0; eps is re-derived from the clipped x0."""
    _set_steps(scheduler, steps)
    for t in scheduler.timesteps.tolist():
        eps = model(x_t, torch.full((len(x_t),), t, device=x_t.device))
        # In the precision of x_t: bf16 has too few digits for x0 at high noise.
        eps = eps.to(x_t.dtype)
        x_t = scheduler.step(eps, t, x_t, use_clipped_model_output=True, return_dict=False)[0]
    return x_t


def invert(model: EpsModel, scheduler: DDIMScheduler, x0: Tensor, steps: int) -> Tensor:
    """Run the DDIM update towards noise, x0 → x_T (arXiv:2111.15640, eq. 8).

    `diffusers.DDIMInverseScheduler` evaluates the model one timestep later in each step and stops
    at alpha_bar of the last timestep. The reference evaluates it at the current timestep, and its
    last step goes to alpha_bar = 0. Hence this loop.
    """
    _set_steps(scheduler, steps)
    timesteps = scheduler.timesteps.flip(0).tolist()
    alpha_bars = [float(scheduler.alphas_cumprod[t]) for t in timesteps]
    x_t = x0
    for t, a, a_next in zip(timesteps, alpha_bars, [*alpha_bars[1:], 0.0], strict=True):
        eps = model(x_t, torch.full((len(x_t),), t, device=x_t.device)).to(x_t.dtype)
        predicted = ((x_t - (1 - a) ** 0.5 * eps) / a**0.5).clamp(-1, 1)
        eps = (x_t - a**0.5 * predicted) / (1 - a) ** 0.5
        x_t = a_next**0.5 * predicted + (1 - a_next) ** 0.5 * eps
    return x_t


def sample_multistep(model: EpsModel, scheduler: DDIMScheduler, x_t: Tensor, steps: int) -> Tensor:
    """`sample` with DPM-Solver++ (2M): similar results in fewer steps, which may be any number."""
    _check_multistep(steps)
    timesteps = _quadratic_timesteps(steps - 1)[::-1]
    return _multistep(DPMSolverMultistepScheduler, model, scheduler, x_t, timesteps, sigma_end=0)


def invert_multistep(model: EpsModel, scheduler: DDIMScheduler, x0: Tensor, steps: int) -> Tensor:
    """`invert` with DPM-Solver++ (2M), for `sample_multistep`; x_T is at the last timestep."""
    _check_multistep(steps)
    *timesteps, last = _quadratic_timesteps(steps)
    kind = DPMSolverMultistepInverseScheduler
    return _multistep(kind, model, scheduler, x0, timesteps, _sigma(scheduler, last))


def _check_multistep(steps: int) -> None:
    if not 2 <= steps < TIMESTEPS:
        raise FacsimileError(f"steps={steps}: must be 2…{TIMESTEPS - 1} with dpm++")


def _quadratic_timesteps(count: int) -> list[int]:
    """0 … 999 in `count` steps of growing size.

    The details of a face are decided at the least noisy timesteps; even spacing skips over them.
    """
    last = TIMESTEPS - 1
    return [max(i, round(last * (i / count) ** 2)) for i in range(count + 1)]


def _sigma(scheduler: DDIMScheduler, t: int) -> float:
    """Noise over signal at a timestep, sqrt((1 - alpha_bar) / alpha_bar)."""
    return float((1 - scheduler.alphas_cumprod[t]) / scheduler.alphas_cumprod[t]) ** 0.5


def _multistep(
    kind: type[DPMSolverMultistepScheduler | DPMSolverMultistepInverseScheduler],
    model: EpsModel,
    scheduler: DDIMScheduler,
    x_t: Tensor,
    timesteps: list[int],
    sigma_end: float,
) -> Tensor:
    # The solver gets x0 itself, so it needs no options for prediction type and clipping.
    solver = kind(TIMESTEPS, prediction_type="sample", lower_order_final=False)
    solver.set_timesteps(len(timesteps))
    # Set directly, because the inverse scheduler only offers evenly spaced timesteps.
    solver.timesteps = torch.tensor(timesteps)
    solver.sigmas = torch.tensor([*(_sigma(scheduler, t) for t in timesteps), sigma_end])
    for t in timesteps:
        a = float(scheduler.alphas_cumprod[t])
        eps = model(x_t, torch.full((len(x_t),), t, device=x_t.device)).to(x_t.dtype)
        predicted = ((x_t - (1 - a) ** 0.5 * eps) / a**0.5).clamp(-1, 1)
        x_t = solver.step(predicted, t, x_t, return_dict=False)[0]
    return x_t


SOLVERS: dict[Solver, tuple[Sampler, Sampler]] = {
    "ddim": (sample, invert),
    "dpm++": (sample_multistep, invert_multistep),
}
"""Solver → its sampler (x_T → x0) and the matching inverter (x0 → x_T)."""


def blend(predicted: Tensor, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
    """x0 from x_t and the output of a network with ``prediction="sample"``.

    Suppose the faces with one z_sem scatter around the predicted face with standard deviation s
    (``BLEND_STD``), independently for each pixel. Then their mean given x_t is
    ``c x_t / sqrt(alpha_bar) + (1 - c) predicted``, c = s² / (s² + sigma²),
    sigma² = (1 - alpha_bar) / alpha_bar. Training can improve on that, and the network never has to
    output noise, which takes as many channels as an image has values.

    Args:
        predicted: network output (N, 3, H, W).
        x_t: noisy images (N, 3, H, W).
        alpha_bar: alpha_bar of each image, broadcastable to (N, 3, H, W).
    """
    variance = (1 - alpha_bar) / alpha_bar
    share = BLEND_STD**2 / (BLEND_STD**2 + variance)
    return share * x_t / alpha_bar.sqrt() + (1 - share) * predicted


def sample_to_eps(
    scheduler: DDIMScheduler, predicted: Tensor, x_t: Tensor, timesteps: Tensor
) -> Tensor:
    """eps from x_t and the output of a network with ``prediction="sample"`` (see `blend`)."""
    alpha_bar = scheduler.alphas_cumprod.to(x_t.device)[timesteps][:, None, None, None]
    x0 = blend(predicted, x_t, alpha_bar)
    return (x_t - alpha_bar.sqrt() * x0) / (1 - alpha_bar).sqrt()


def add_noise(scheduler: DDIMScheduler, x0: Tensor, eps: Tensor, timesteps: Tensor) -> Tensor:
    """x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps (Ho et al. 2020, eq. 4)."""
    return scheduler.add_noise(x0, eps, timesteps)
