"""Compare our generator, with each optimization, with the reference implementation.

    python -m benchmarks.generator [--reference PATH] [--device cpu|cuda]
        [--preset small|ffhq256_autoenc|…] [--batch-size N] [--steps T] [--repeats N] [--json FILE]

PATH is a checkout of github.com/phizaz/diffae. It runs on the same random weights, as in its
notebooks: in half precision on a GPU. Without it, the baseline is our implementation in float32.
Times are wall times on a GPU, and process times of one thread on a CPU. Three tables:

- throughput: images/s and memory (weights plus peak memory of the work) of contenders that take
  turns. The ratio compares the time for all three tasks: median, minimum and maximum over repeats.
- quality: the cost of solvers, steps and precision with trained weights (the shipped generator, on
  newly rendered faces). SSIM and PSNR are against our result with 100 float32 DDIM steps; one more
  SSIM is against the faces. Faces are inverted and decoded unchanged, and with z moved halfway to
  that of the next face. There is no LPIPS, which would have to download networks.
- sweep: several edits of one face, each with its own inversion and decoding, or with one inversion
  and all in one batch.

Fused attention is always on in our implementation, so it is not a contender.
"""

import argparse
import json
import statistics
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.clocks import peak_bytes, seconds, with_spread
from benchmarks.contenders import Contender, contenders
from facsimile.faces.tables import decode_images, to_tensor
from facsimile.files import to_json
from facsimile.generator import (
    CONFIG_FILE,
    GeneratorConfig,
    InferenceOptions,
    UNetConfig,
    load_generator,
)
from facsimile.generator.evaluation import fidelity
from facsimile.pretraining import PRESETS, preset
from facsimile.world import iter_faces

SMALL = UNetConfig(
    image_size=64, model_channels=32, channel_mult=(1, 2, 4), encoder_channel_mult=(1, 2, 4, 4)
)
TASKS = ("encode", "invert", "decode")
REFERENCE_STEPS = 100
SWEPT = 8


@dataclass
class Throughput:
    """Images/s of each task, speed-up over the first contender, and memory in MB."""

    name: str
    encode: float
    invert: float
    decode: float
    ratio: float
    ratio_min: float
    ratio_max: float
    memory: float | None


@dataclass
class Quality:
    """SSIM to the face; SSIM and PSNR of unchanged and moved faces to the first row; speed-up."""

    name: str
    ssim_face: float
    ssim: float
    psnr: float
    ssim_moved: float
    psnr_moved: float
    ratio: float


def noise_like(images: Tensor) -> Tensor:
    return torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).to(images)


def throughput(
    entrants: list[Contender], images: Tensor, device: str, repeats: int
) -> list[Throughput]:
    """Measure all contenders in turns, in alternating order."""
    times: dict[str, dict[str, list[float]]] = {}
    memory: dict[str, float | None] = {}
    work = {}
    for entrant in entrants:
        z_sem = entrant.encode(images)
        x_t = noise_like(images)
        work[entrant.name] = {
            "encode": lambda e=entrant: e.encode(images),
            "invert": lambda e=entrant, z=z_sem: e.invert(images, z),
            "decode": lambda e=entrant, z=z_sem, x=x_t: e.decode(z, x),
        }
        times[entrant.name] = {task: [] for task in TASKS}
        for task in TASKS:  # compiles and warms up
            work[entrant.name][task]()

        def everything(tasks=work[entrant.name]) -> None:
            for task in TASKS:
                tasks[task]()

        peak = peak_bytes(device, everything)
        memory[entrant.name] = None if peak is None else (peak + entrant.weight_bytes) / 1e6
    for repeat in range(repeats):
        for entrant in entrants[:: 1 if repeat % 2 == 0 else -1]:
            for task in TASKS:
                times[entrant.name][task].append(seconds(device, work[entrant.name][task]))

    def total(entrant: Contender) -> list[float]:
        return [sum(parts) for parts in zip(*times[entrant.name].values(), strict=True)]

    rows = []
    for entrant in entrants:
        pairs = zip(total(entrants[0]), total(entrant), strict=True)
        ratios = [base / other for base, other in pairs]
        rates = {task: len(images) / statistics.median(times[entrant.name][task]) for task in TASKS}
        spread = with_spread(ratios)
        rows.append(Throughput(entrant.name, **rates, **spread, memory=memory[entrant.name]))
    return rows


def agreement(entrants: list[Contender], images: Tensor) -> dict[str, float]:
    """Largest differences between the reference and ours in float32, with the same weights.

    On a GPU, the reference decodes in half precision.
    """
    reference, ours = entrants[0], entrants[1]
    z_sem = reference.encode(images)
    x_t = noise_like(images)
    return {
        "z_sem": float((reference.encode(images) - ours.encode(images)).abs().max()),
        "decoded": float((reference.decode(z_sem, x_t) - ours.decode(z_sem, x_t)).abs().max()),
    }


def rendered(count: int, size: int) -> Tensor:
    faces = pa.concat_tables(iter_faces("world-ffhq", count, size, seed=977)).to_pandas()
    return to_tensor(decode_images(faces))


def quality(folder: Path, device: str, faces: int) -> list[Quality]:
    """Quality and speed-up of solvers, steps and precisions with trained weights."""
    settings: list[tuple[str, int, dict[str, Any]]] = [
        ("ddim", steps, {}) for steps in (REFERENCE_STEPS, 50, 20, 10)
    ]
    settings += [("dpm++", steps, {}) for steps in (50, 20, 10)]
    for dtype in (torch.bfloat16, torch.float16):
        if device != "cpu" or dtype == torch.bfloat16:
            settings += [
                ("ddim", REFERENCE_STEPS, {"dtype": dtype}),
                ("dpm++", 10, {"dtype": dtype}),
            ]
    images = rendered(faces, GeneratorConfig.load(folder / CONFIG_FILE).unet.image_size).to(device)
    rows, base = [], None
    for solver, steps, options in settings:
        generator = load_generator(folder, device, InferenceOptions(solver, steps, **options))
        generator.decode(replace(generator.encode(images), x_t=images))  # warms up
        made = {}

        def work(generator=generator, made=made) -> None:
            codes = generator.invert(images, generator.encode(images))
            made["kept"] = generator.decode(codes).clamp(-1, 1)
            halfway = codes.z.lerp(codes.z.roll(1, 0), 0.5)
            made["moved"] = generator.decode(codes.replace_z(halfway))

        spent = seconds(device, work)
        base = base or (made, spent)
        scores = [fidelity(made[kind], base[0][kind]) for kind in ("kept", "moved")]
        face, _ = fidelity(made["kept"], images)
        dtype = str(options.get("dtype", torch.float32)).removeprefix("torch.")
        rows.append(
            Quality(f"{steps} × {solver}, {dtype}", face, *scores[0], *scores[1], base[1] / spent)
        )
    return rows


def sweep(folder: Path, device: str, steps: int, repeats: int) -> dict[str, float]:
    """Edits/s of one face, one by one and in one batch, and the ratio with its range."""
    generator = load_generator(folder, device, InferenceOptions(steps=steps))
    image = rendered(1, generator.image_size)
    codes = generator.encode(image)
    edited = codes.z + 0.1 * torch.randn(SWEPT, generator.z_dim, device=codes.z.device)

    def alone() -> None:
        for z in edited:
            generator.decode(generator.invert(image, codes).replace_z(z[None]))

    def together() -> None:
        inverted = generator.invert(image, codes)
        generator.decode(inverted[[0] * SWEPT].replace_z(edited))

    alone()  # warms up
    together()
    pairs = [(seconds(device, alone), seconds(device, together)) for _ in range(repeats)]
    ratios = [one / other for one, other in pairs]
    return {
        "alone": SWEPT / statistics.median(one for one, _ in pairs),
        "together": SWEPT / statistics.median(other for _, other in pairs),
        **with_spread(ratios),
    }


def throughput_table(rows: list[Throughput]) -> Table:
    table = Table("contender", *(f"{task}/s" for task in TASKS), "ratio", "memory, MB")
    for row in rows:
        rates = (f"{getattr(row, task):.2f}" for task in TASKS)
        ratio = f"{row.ratio:.2f} ({row.ratio_min:.2f}–{row.ratio_max:.2f})"
        table.add_row(row.name, *rates, ratio, "" if row.memory is None else f"{row.memory:.0f}")
    return table


def quality_table(rows: list[Quality]) -> Table:
    table = Table("steps × solver", "face", "SSIM", "PSNR", "SSIM moved", "PSNR moved", "ratio")
    for row in rows:
        figures = (
            f"{row.ssim_face:.4f}",
            f"{row.ssim:.4f}",
            f"{row.psnr:.1f}",
            f"{row.ssim_moved:.4f}",
        )
        table.add_row(row.name, *figures, f"{row.psnr_moved:.1f}", f"{row.ratio:.1f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--preset",
        choices=("small", *PRESETS),
        help="default: small on a CPU, else ffhq256_autoenc",
    )
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10, help="solver steps; hardly affects ratios")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--faces", type=int, default=8, help="number of faces of the quality table")
    parser.add_argument("--generator", type=Path, default=Path("data/generator"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.preset = arguments.preset or (
        "small" if arguments.device == "cpu" else "ffhq256_autoenc"
    )
    if arguments.reference and not (arguments.reference / "model" / "unet_autoenc.py").exists():
        parser.error(f"{arguments.reference}: not a checkout of github.com/phizaz/diffae")
    torch.set_num_threads(1)
    device = arguments.device

    unet = SMALL if arguments.preset == "small" else preset(arguments.preset).unet
    entrants = list(contenders(unet, arguments.steps, device, arguments.reference))
    size = unet.image_size
    images = torch.rand(arguments.batch_size, 3, size, size).to(device) * 2 - 1
    result: dict[str, Any] = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device != "cpu" else "cpu",
    }
    result |= {key: getattr(arguments, key) for key in ("preset", "batch_size", "steps")}
    if arguments.reference:
        result["agreement"] = agreement(entrants, images)
    console = Console()
    console.print(result)
    rows = throughput(entrants, images, device, arguments.repeats)
    console.print(throughput_table(rows))
    result["throughput"] = [asdict(row) for row in rows]
    scores = quality(arguments.generator, device, arguments.faces)
    console.print(quality_table(scores))
    result["quality"] = [asdict(row) for row in scores]
    result["sweep"] = sweep(arguments.generator, device, 20, arguments.repeats)
    console.print("sweep", result["sweep"])
    if arguments.json:
        arguments.json.write_text(json.dumps(to_json(result), indent=2) + "\n")


if __name__ == "__main__":
    main()
