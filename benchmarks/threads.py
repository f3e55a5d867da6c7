"""Faces encoded per second by one thread, and by all cores with threads that spin or sleep.

    python benchmarks/threads.py [--generator data/generator] [--faces 512]

GNU OpenMP reads how its threads wait when it is loaded, so each figure is from a process of its
own. All are measured on an idle machine and again beside one busy process, in turns; compare the
ratios.
"""

import argparse
import os
import statistics
import subprocess
import sys

from facsimile.generator import load_generator

ROUNDS = 3
CONTENDERS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "spinning": {"OMP_WAIT_POLICY": "ACTIVE"},
    "OpenMP's default": {},
    "sleeping (all stages)": {"OMP_WAIT_POLICY": "PASSIVE"},
}


def encode(folder: str, faces: int) -> None:
    """Print the faces encoded per second, after a warm-up batch."""
    import time

    import torch

    generator = load_generator(folder)
    images = torch.rand(64, 3, generator.image_size, generator.image_size) * 2 - 1
    generator.encode(images)
    begin = time.perf_counter()
    for _ in range(0, faces, len(images)):
        generator.encode(images)
    print(faces / (time.perf_counter() - begin))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="data/generator")
    parser.add_argument("--faces", type=int, default=512)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        encode(arguments.generator, arguments.faces)
        return
    unset = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    plain = {name: value for name, value in os.environ.items() if name not in unset}
    command = [sys.executable, __file__, "--generator", arguments.generator]
    command += ["--faces", str(arguments.faces), "--child"]
    for title, busy in (("idle", False), ("beside one busy process", True)):
        rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
        try:
            for _ in range(ROUNDS):
                for name, variables in CONTENDERS.items():
                    out = subprocess.check_output(command, env=plain | variables, text=True)
                    rates[name].append(float(out))
        finally:
            if neighbour:
                neighbour.kill()
        base = statistics.median(rates["one thread"])
        for name, values in rates.items():
            rate = statistics.median(values)
            print(f"{title:24s} {name:22s} {rate:7.1f} faces/s  {rate / base:5.2f}×")


if __name__ == "__main__":
    main()
