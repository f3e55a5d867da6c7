"""Section `sampling`: how faces are inverted and decoded."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.params.section import Section


class SamplingParams(Section):
    """Solver of the generator.

    Attributes:
        steps: of inversion and of decoding, which must agree. "dpm++" needs fewer than "ddim".
        prior_steps: DDIM steps of the latent prior.
        solver: of inversion and of decoding.
        dtype: of the networks.
    """

    steps: Annotated[int, Field(ge=2, le=1000)]
    prior_steps: Annotated[int, Field(ge=2, le=1000)]
    solver: Literal["ddim", "dpm++"] = "ddim"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
