"""Faces per second of the shipped generator, by batch size and precision.

    python benchmarks/decode.py [--generator data/generator] [--steps 20] [--device cpu]

All figures are from one run; compare the ratios.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from facsimile.generator import InferenceOptions, load_generator

REPEATS = 3


def rate(faces: int, work: Callable[[], torch.Tensor]) -> float:
    """Faces per second in the fastest of ``REPEATS`` runs, after a warm-up run."""
    seconds = []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        work().cpu()
        seconds.append(time.perf_counter() - start)
    return faces / min(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="data/generator")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    base = None
    for dtype in (torch.float32, torch.bfloat16):
        options = InferenceOptions(steps=arguments.steps, dtype=dtype)
        generator = load_generator(arguments.generator, arguments.device, options)
        for batch in (1, 16, 64):
            images = torch.rand(batch, 3, generator.image_size, generator.image_size) * 2 - 1
            codes = replace(generator.encode(images), x_t=torch.randn_like(images))
            rates = {
                "encode": rate(batch, lambda g=generator, x=images: g.encode(x).z),
                "invert": rate(batch, lambda g=generator, x=images, c=codes: g.invert(x, c).x_t),
                "decode": rate(batch, lambda g=generator, c=codes: g.decode(c)),
            }
            base = base or rates["decode"]
            name = str(dtype).removeprefix("torch.")
            columns = "  ".join(f"{key} {value:7.1f}/s" for key, value in rates.items())
            print(f"{name:9s} batch {batch:3d}  {columns}  {rates['decode'] / base:5.2f}×")


if __name__ == "__main__":
    main()
