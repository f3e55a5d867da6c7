"""Neutralization: moving a face's code to zero AU activity with the model N.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", III-B, IV-A and Eq. (1):

    min_z  L(N(z), y*) + λ ||z − z_0||²

    z_0      normalised code of the face          λ    0.004
    y*       AUs: 0; static attributes: what N predicts at z_0
    L        sum of squared differences over attributes. Binary attributes are compared as logits,
             whose gradients do not vanish where the sigmoid saturates

Because L is a sum, one AU at the activation threshold 0.1 still contributes 0.01, five times the
decrease at which optimisation stops.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facsimile.editing.neutralizer import Neutralizer

WINDOW = 50  # steps of the moving average of the objective
HORIZON = 150  # steps over which the average must fall …
MIN_DECREASE = 0.002  # … by more than this


@dataclass(frozen=True)
class NeutralizedCodes:
    """Result of `neutralize` for N faces.

    Attributes:
        z: neutral codes, (N, D) float32.
        aus: AUs that N predicts for them, (N, 12); 0 for AUs that it has not learnt.
        steps: steps taken, (N,) int.
        converged: (N,) bool; False if `max_steps` was reached first.
    """

    z: np.ndarray
    aus: np.ndarray
    steps: np.ndarray
    converged: np.ndarray


def neutralize(
    model: Neutralizer,
    z: np.ndarray,
    *,
    proximity: float = 0.004,
    lr: float = 0.02,
    max_steps: int = 2000,
) -> NeutralizedCodes:
    """Minimise Eq. (1) over z with Adam, for a batch of faces at once.

    Faces do not influence one another, and a face leaves the batch once it has converged: when the
    50-step mean of its objective is at most 0.002 below the 50-step mean 150 steps earlier. This
    is checked every 50 steps.

    Adam turns even the rounding error of a vanishing gradient into a full-size step, and rounding
    depends on the batch size. Hence double precision, so that results do not depend on the batch.

    Args:
        model: trained N; not modified.
        z: normalised codes z_0, (N, D).
        proximity: λ.
        lr: step size of Adam.
        max_steps: upper bound on steps.
    """
    device = next(model.parameters()).device
    if device.type == "mps":  # has no double precision
        device = torch.device("cpu")
    frozen = copy.deepcopy(model).eval().requires_grad_(False).to(device).double()
    origin = torch.as_tensor(np.asarray(z), dtype=torch.float32, device=device).double()
    with torch.no_grad():
        _, static_before = frozen(origin)

    result = origin.clone()
    steps = torch.zeros(len(origin), dtype=torch.long)
    converged = torch.zeros(len(origin), dtype=torch.bool)

    rows = torch.arange(len(origin), device=device)  # faces still in the batch
    current = origin.clone()
    momentum, variance = torch.zeros_like(current), torch.zeros_like(current)
    window = current.new_zeros(len(origin))
    means: list[Tensor] = []  # of the last HORIZON / WINDOW + 1 windows
    for step in range(1, max_steps + 1):
        current.requires_grad_(True)
        aus, static = frozen(current)
        objective = (
            aus.square().sum(1)
            + (static - static_before[rows]).square().sum(1)
            + proximity * (current - origin[rows]).square().sum(1)
        )
        (gradient,) = torch.autograd.grad(objective.sum(), current)
        # Adam is written out because faces leave the batch together with their moments.
        momentum = momentum.lerp(gradient, 0.1)
        variance = variance.lerp(gradient.square(), 0.001)
        scale = (variance / (1 - 0.999**step)).sqrt() + 1e-8
        current = current.detach() - lr * momentum / (1 - 0.9**step) / scale
        result[rows], steps[rows.cpu()] = current, step

        window += objective.detach() / WINDOW
        if step % WINDOW:
            continue
        means = [*means, window][-(HORIZON // WINDOW + 1) :]
        window = torch.zeros_like(window)
        if len(means) * WINDOW <= HORIZON:
            continue
        done = means[0] - means[-1] <= MIN_DECREASE
        converged[rows[done].cpu()] = True
        stay = ~done
        if not stay.any():
            break
        rows, current, window = rows[stay], current[stay], window[stay]
        momentum, variance = momentum[stay], variance[stay]
        means = [mean[stay] for mean in means]

    with torch.no_grad():
        aus, _ = frozen(result)
    return NeutralizedCodes(
        z=result.float().cpu().numpy(),
        aus=aus.float().cpu().numpy(),
        steps=steps.numpy(),
        converged=converged.numpy(),
    )
