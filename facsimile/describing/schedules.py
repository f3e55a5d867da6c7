"""Learning rates over training."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

_WARM_UP = 0.05  # share of the steps


def warm_cosine(optimizer: Optimizer, steps: int) -> LambdaLR:
    """Rise to the peak rate over the first 5 % of the steps, then fall to 0 along a cosine."""
    warm_up = max(1, round(_WARM_UP * steps))

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))

    return LambdaLR(optimizer, factor)
