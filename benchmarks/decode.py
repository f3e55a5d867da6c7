"""Faces per second of the shipped generator, by batch size and precision.

    python benchmarks/decode.py [--generator data/generator] [--steps 20] [--device cpu]

Every figure is measured in this run; compare the ratios.
"""

import argparse
import time
from collections.abc import Callable

import torch

from facsimile.generator import DiffAEPipeline

REPEATS = 3


def rate(faces: int, work: Callable[[], torch.Tensor]) -> float:
    """Faces per second, the best of some runs after one that warms up."""
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
    steps, base = arguments.steps, None
    for dtype in (torch.float32, torch.bfloat16):
        pipeline = DiffAEPipeline.from_pretrained(arguments.generator, arguments.device, dtype)
        for batch in (1, 16, 64):
            images = torch.rand(batch, 3, pipeline.image_size, pipeline.image_size) * 2 - 1
            z_sem = pipeline.encode(images)
            x_t = torch.randn_like(images)
            rates = {
                "encode": rate(batch, lambda p=pipeline, x=images: p.encode(x)),
                "invert": rate(batch, lambda p=pipeline, x=images, z=z_sem: p.invert(x, z, steps)),
                "decode": rate(batch, lambda p=pipeline, x=x_t, z=z_sem: p.decode(z, x, steps)),
            }
            base = base or rates["decode"]
            name = str(dtype).removeprefix("torch.")
            columns = "  ".join(f"{key} {value:7.1f}/s" for key, value in rates.items())
            print(f"{name:9s} batch {batch:3d}  {columns}  {rates['decode'] / base:5.2f}×")


if __name__ == "__main__":
    main()
