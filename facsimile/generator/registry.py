"""The registry of generators, and how to load one from its folder.

To add a generator, write a module that implements `Generator` and add its loader here. The key
``generator`` of its ``config.json`` is its name in this registry.
"""

import json
from collections.abc import Callable
from pathlib import Path

from facsimile.errors import FacsimileError
from facsimile.generator.base import (
    CONFIG_FILE,
    REFERENCE_OPTIONS,
    Generator,
    InferenceOptions,
)
from facsimile.generator.pipeline import DiffAEPipeline

Loader = Callable[[Path, str, InferenceOptions], Generator]
"""(folder, device, options) → generator."""

DEFAULT = "diffae"
"""The generator of a ``config.json`` without the key ``generator``."""

GENERATORS: dict[str, Loader] = {
    "diffae": DiffAEPipeline.from_pretrained,
}


def load_generator(
    folder: Path | str, device: str = "cpu", options: InferenceOptions = REFERENCE_OPTIONS
) -> Generator:
    """Load the generator saved in a folder.

    Args:
        folder: holds ``config.json``, ``generator.safetensors`` and any further files.
        device: torch device.
        options: solver, steps and precision.

    Raises:
        FacsimileError: a file is missing or broken, or the config names an unknown generator.
    """
    path = Path(folder) / CONFIG_FILE
    try:
        name = json.loads(path.read_text()).get("generator", DEFAULT)
    except OSError as error:
        raise FacsimileError(f"{path}: no generator config here ({error.strerror})") from error
    except (json.JSONDecodeError, AttributeError) as error:
        raise FacsimileError(f"{path}: not a JSON object ({error})") from error
    if name not in GENERATORS:
        registered = ", ".join(sorted(GENERATORS))
        raise FacsimileError(f"{path}: generator {name!r} is not one of {registered}")
    return GENERATORS[name](Path(folder), device, options)
