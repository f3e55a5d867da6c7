"""Section `sampling`: inversion and decoding of faces."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.params.section import Section


class SamplingParams(Section):
    """Solver of the generator.

    Attributes:
        steps: steps of both inversion and decoding. "dpm++" needs fewer than "ddim".
        prior_steps: DDIM steps for sampling the latent prior.
        solver: solver of both inversion and decoding.
        dtype: data type of the networks.
    """

    steps: Annotated[int, Field(ge=2, le=1000)]
    prior_steps: Annotated[int, Field(ge=2, le=1000)]
    solver: Literal["ddim", "dpm++"] = "ddim"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
