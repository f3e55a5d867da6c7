"""Faces rendered per second by the embedded world: one process and all cores, 64 and 128 px.

    python benchmarks/render.py [--faces 512]

All figures are from one run; compare the ratios.
"""

import argparse
import os
import time

from facsimile.world import iter_faces, population
from facsimile.world.render import Renderer


def rate(faces: int, work) -> float:
    start = time.perf_counter()
    work()
    return faces / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=512)
    faces = parser.parse_args().faces
    people = population("world-ffhq", faces, seed=0)
    base = None
    for size in (64, 128):
        renderer = Renderer(size)
        renderer.render(people.head(8), seed=0)  # compiles
        rates = {"one process": rate(faces, lambda r=renderer: r.render(people, seed=0))}
        workers = os.cpu_count() or 1
        # Includes starting the workers and PNG encoding, as when rendering a dataset.
        rates[f"table, {workers} workers"] = rate(
            faces, lambda s=size, w=workers: list(iter_faces("world-ffhq", faces, s, 0, w))
        )
        for name, value in rates.items():
            base = base or value
            print(f"{size:4d} px  {name:20s} {value:7.1f} faces/s  {value / base:5.2f}×")


if __name__ == "__main__":
    main()
