"""Training of a generator: killed and resumed, in parts, by several processes, on any table."""

import argparse
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from facsimile.detection import AUOracle
from facsimile.digests import DIGESTS
from facsimile.errors import FacsimileError
from facsimile.faces.tables import FACE_SCHEMA, write_shards
from facsimile.generator import DiffAEUNet, GeneratorConfig
from facsimile.pretraining import Ranks
from tasks import generator
from tasks.helpers.frozen import main
from tests.support.faces import face_table, noise_images

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SIZE = 16
WEIGHTS = "generator.safetensors"

# Forked from a process that has imported torch already, not from this one, which has threads.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tasks.generator"])

SMALLEST = {
    "holdout": 6,
    "codes_faces": 40,
    "unet": {
        "image_size": SIZE,
        "model_channels": 32,
        "channel_mult": [1, 1],
        "encoder_channel_mult": [1, 1],
        "attention_resolutions": [],
        "z_dim": 8,
        "dropout": 0.1,
    },
    "latent_net": {"hidden": 16, "num_layers": 3, "time_channels": 8},
    "dtype": "float32",
    "compile": False,
    "checkpoint_every": 8,
    "warm_start": {"steps": 15, "batch_size": 4, "learning_rate": 1e-3},
    "autoencoder": {"steps": 22, "batch_size": 4, "learning_rate": 1e-3, "warmup_steps": 2},
    "prior": {"steps": 40, "batch_size": 8, "learning_rate": 1e-3, "warmup_steps": 2},
    "eval_steps": 2,
}


def write_faces(folder: Path, **columns: Any) -> Path:
    """A table of 40 faces to train on and 6 to measure on: smooth noise."""
    small = [Image.fromarray(image) for image in noise_images(46, 4)]
    images = [np.asarray(image.resize((SIZE, SIZE), Image.BICUBIC)) for image in small]
    ids = [f"mine/{row}" for row in range(46)]
    split = ["train"] * 40 + ["test"] * 6
    usual = {"aus": np.nan, "subject_id": ids, "split": split}
    rows = face_table(ids, images=np.stack(images), **usual | columns)
    write_shards([rows], folder / "faces", FACE_SCHEMA, rows_per_shard=20)
    return folder / "faces"


def arguments(folder: Path, table: Path, **changes: Any) -> argparse.Namespace:
    """Command line of a training in a folder, with params of its own."""
    folder.mkdir(exist_ok=True)
    params = folder / "params.yaml"
    params.write_text(yaml.safe_dump({"generator": SMALLEST | changes}))
    return argparse.Namespace(
        params=params,
        faces=table,
        work=folder / "work",
        out=folder / "out",
        oracle=None,
        device="cpu",
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, table: Path) -> Path:
    """The folder of an uninterrupted training."""
    folder = tmp_path_factory.mktemp("whole")
    train(arguments(folder, table))
    return folder


def start(options: argparse.Namespace) -> multiprocessing.Process:
    process = PROCESSES.Process(target=run_on_one_core, args=(options,))
    process.start()
    return process


def run_on_one_core(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    generator.run(options)


def train(options: argparse.Namespace) -> None:
    process = start(options)
    process.join()
    assert process.exitcode == 0


def test_uninterrupted_training(whole: Path) -> None:
    metrics = json.loads((whole / "out" / "metrics.json").read_text())
    assert {"ssim_inverted", "frechet", "images_seen"} <= metrics.keys()
    assert not any(name.startswith("au_pearson") for name in metrics)  # the table has no AUs
    rows = [json.loads(line) for line in (whole / "work" / "stats.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows if row["phase"] == "autoencoder"]
    assert steps == [8, 16, 22]
    assert {path.name for path in (whole / "work").glob("step-*.png")} == {
        f"step-{step:06d}.png" for step in steps
    }
    left = {path.name for path in (whole / "out").iterdir()}
    assert left == {"config.json", WEIGHTS, DIGESTS, "metrics.json", "README.md", "samples.png"}


def test_killed_in_every_phase_and_resumed_it_ends_with_the_same_bytes(
    whole: Path, tmp_path: Path, table: Path
) -> None:
    options = arguments(tmp_path, table)
    for phase in generator.PHASES:
        process = start(options)
        checkpoint = options.work / f"{phase}.pt"
        while not checkpoint.exists():
            assert process.is_alive()
            time.sleep(0.001)
        process.kill()
        process.join()
        assert process.exitcode == -9
    assert not (options.out / WEIGHTS).exists()
    train(options)
    assert (options.out / WEIGHTS).read_bytes() == (whole / "out" / WEIGHTS).read_bytes()

    def losses(folder: Path) -> list[tuple[Any, ...]]:
        lines = (folder / "work" / "stats.jsonl").read_text().splitlines()
        return [(row["phase"], row["step"], row["loss"]) for row in map(json.loads, lines)]

    assert losses(tmp_path) == losses(whole)


def test_processes_of_torchrun_train_what_one_does(tmp_path: Path, table: Path) -> None:
    # Dropout differs between processes.
    unet = SMALLEST["unet"] | {"dropout": 0.0}
    few = {phase: SMALLEST[phase] | {"steps": 6} for phase in generator.PHASES}
    alone = arguments(tmp_path / "alone", table, unet=unet, **few)
    train(alone)
    few["autoencoder"] = few["autoencoder"] | {"accumulate": 2}
    options = arguments(tmp_path / "two", table, unet=unet, **few)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "tasks.generator"]
    for name, value in vars(options).items():
        command += [f"--{name}", str(value)] if value else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    torch.manual_seed(0)
    begin = DiffAEUNet(GeneratorConfig.load(alone.out / "config.json").unet)
    moved = weights(alone) - decoder(begin.state_dict())
    # Not bit by bit: sums are rounded in another order, and Adam makes steps of tiny gradients.
    assert (weights(options) - weights(alone)).norm() < 0.02 * moved.norm()


def test_a_batch_is_divided_without_remainder() -> None:
    second = Ranks(1, 2, torch.device("cpu"))
    assert second.share(8, 2, "batch_size") == slice(4, 8)
    with pytest.raises(FacsimileError, match="batch_size: 6 is not a multiple of 2 processes × 2"):
        second.share(6, 2, "batch_size")


def weights(options: argparse.Namespace) -> torch.Tensor:
    return decoder(torch.load(options.work / "autoencoder.pt")["model"])


def decoder(state: dict[str, torch.Tensor]) -> torch.Tensor:
    """All weights but those of the encoder, whose begin is warm."""
    return torch.cat([value.flatten() for name, value in state.items() if "encoder" not in name])


def test_labels_and_an_oracle_that_is_named_give_au_metrics(tmp_path: Path) -> None:
    options = arguments(tmp_path, write_faces(tmp_path, AU12=np.linspace(0, 1, 46)))
    options.oracle = tmp_path / "oracle"
    AUOracle(SIZE, (8, 8)).save(options.oracle)
    train(options)
    metrics = json.loads((options.out / "metrics.json").read_text())
    assert np.isfinite(metrics["au_pearson_reconstruction"])
    AUOracle(32, (8, 8)).save(options.oracle)
    with pytest.raises(FacsimileError, match=r"oracle: reads faces of 32 pixels, .* is 16"):
        generator.run(options)


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (lambda folder: folder, {}, "no Parquet table here"),
        (
            lambda folder: write_faces(folder, split="train"),
            {},
            "faces: 0 faces of the split test, at least 2 needed",
        ),
        (
            write_faces,
            {"unet": SMALLEST["unet"] | {"image_size": 32}},
            r"faces: mine/0: image size is \(16, 16\), generator.unet.image_size is 32",
        ),
        (
            write_faces,
            {"autoencoder": SMALLEST["autoencoder"] | {"accumulate": 3}},
            "generator.autoencoder: batch_size 4 is not a multiple of 3",
        ),
        (
            write_faces,
            {"unet": SMALLEST["unet"] | {"z_dim": 32}},
            "generator.unet.z_dim: fitting 32 components needs at least 48 faces, not 40",
        ),
    ],
)
def test_unusable_training_data_is_reported_at_once(
    tmp_path: Path, make: Callable[[Path], Path], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(FacsimileError, match=message):
        generator.run(arguments(tmp_path, make(tmp_path), **changes))


def test_a_training_is_not_continued_with_other_params(
    whole: Path, table: Path, tmp_path: Path
) -> None:
    options = arguments(tmp_path, table, seed=5)
    options.work = whole / "work"
    with pytest.raises(FacsimileError, match="with seed 0 was started here, but now it is 5"):
        generator.run(options)
    assert not options.out.exists()


def test_error_is_one_line(
    tmp_path: Path,
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = arguments(tmp_path, table, steps=1)
    monkeypatch.setattr(sys, "argv", ["generator", "--params", str(options.params)])
    with pytest.raises(SystemExit, match="2"):
        main("generator", generator.__doc__, generator.run, oracle=None)
    assert capsys.readouterr().err == f"generator: {options.params}: generator.steps: unknown key\n"
