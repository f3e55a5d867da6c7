"""Load the generator of the project."""

import torch

from facsimile.generator import Generator, InferenceOptions, registry
from tasks.params import SamplingParams
from tasks.shared.artefacts import GENERATOR
from tasks.shared.stage import Compute


def load_generator(compute: Compute, sampling: SamplingParams | None = None) -> Generator:
    """The project's generator, on the device of this stage.

    Args:
        compute: device, and whether to compile.
        sampling: solver, steps and precision. Stages that only encode omit it and run in
            float32.
    """
    options = sampling.model_dump() if sampling else {"dtype": "float32"}
    options["dtype"] = getattr(torch, options["dtype"])
    return registry.load_generator(
        GENERATOR, compute.device, InferenceOptions(**options, compile=compute.compile)
    )
