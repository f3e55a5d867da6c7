"""Peak memory of the stages that read many faces, by the number and size of faces.

    python -m benchmarks.scale [--faces 1000 10000 100000] [--large 1000 3000] [--json FILE]

Each figure is from a process of its own, on a project of shaded copies of 60 rendered people: one
real face to seven generated ones, as in the paper. `filter` and `train` are whole stages, and
`evaluate` is the part of that stage that reads faces. A function of the pixels stands in for the
generator and the AU readers, the oracle is small, and realism is learnt for one epoch, because only
memory is measured. `in memory` decodes the accepted faces into one array, and does nothing with it.
``--large`` are the numbers of faces of 256 px; the others have 64 px. The page docs/scale.md is
made from docs/scale.json by ``python -m benchmarks.scale_page``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from flows.stage_watch import family, memory
from tasks.shared.machine import describe_machine

PEOPLE = 60
ATTRIBUTES = 1000
Z = 512
STAGES = ("imports", "filter", "train", "evaluate", "in memory")
SECONDS_BETWEEN_SAMPLES = 0.2
_BATCH = 500


class MemoryWatch(threading.Thread):
    """Samples the memory of this process and its workers.

    Attributes:
        process: largest peak RSS of one process, bytes.
        tree: largest sum of the PSS of all processes, in which shared pages count once, bytes.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.process = self.tree = 0
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(SECONDS_BETWEEN_SAMPLES):
            self.sample()

    def sample(self) -> None:
        processes = family(os.getpid())
        self.tree = max(self.tree, sum(map(memory, processes)))
        for process in processes:
            with suppress(OSError, IndexError):  # it has just ended
                status = Path(f"/proc/{process.pid}/status").read_text()
                peak = 1024 * int(status.split("VmHWM:")[1].split()[0])
                self.process = max(self.process, peak)

    def stop(self) -> None:
        self.sample()
        self._done.set()
        self.join()


def measure(stage: str) -> dict[str, float]:
    """Run a stage in the current folder, a project of `build`."""
    import pandas as pd

    from facsimile.detection import AUEnsemble, AUOracle
    from facsimile.faces.aus import AUS
    from facsimile.faces.tables import decode_images, read_faces
    from facsimile.filtering import RealismRanker, filters
    from tasks import evaluate, filter, train
    from tasks.params import DatasetsParams, DetectorParams, FilterParams, TrainParams
    from tasks.shared.artefacts import FILTER, ORACLE
    from tasks.shared.stage import Compute

    compute = Compute("cpu", 64, 2)
    datasets = DatasetsParams(aus="aus", attributes="attributes")
    filter.load_generator = lambda compute: PixelGenerator()
    filters.RealismRanker = partial(RealismRanker, epochs=1)
    AUEnsemble.load = staticmethod(lambda folder, device: AUEnsemble([PixelReader()]))

    def run_filter() -> None:
        limits = {
            "min_jaccard": 0,
            "realism_quantile": 0.02,
            "mahalanobis_quantile": 1,
            "duplicate_rms": 0.01,
            "balance_slack": 1.25,
        }
        FILTER.mkdir()
        params = FilterParams(**limits, reference_faces=ATTRIBUTES, seed=0)
        filter.run(FILTER, compute, datasets, params)

    def run_train() -> None:
        detector = DetectorParams(lr=6e-3, batch_size=32, epoch_faces=32 * 4, epochs=1)
        arms = TrainParams(arms=("real+generated",), seeds=(0, 1))
        with tempfile.TemporaryDirectory(dir=".") as out:
            train.run(Path(out), compute, datasets, detector, arms)

    def run_evaluate() -> None:
        oracle = AUOracle.load(ORACLE)
        real = evaluate.read_real("aus", "train", AUS)
        evaluate.score_entanglement(real, oracle, AUS)
        evaluate.score_edited_faces(real, oracle, AUS)

    def run_in_memory() -> None:
        faces: pd.DataFrame = read_faces(FILTER / "faces", ["sample_id", "image"])
        decode_images(faces)

    runs: dict[str, Callable[[], None]] = {
        "imports": lambda: None,
        "filter": run_filter,
        "train": run_train,
        "evaluate": run_evaluate,
        "in memory": run_in_memory,
    }
    watch = MemoryWatch()
    watch.start()
    begin = time.monotonic()
    runs[stage]()
    seconds = time.monotonic() - begin
    watch.stop()
    return {"process": watch.process, "tree": watch.tree, "seconds": seconds}


class PixelGenerator:
    """Encodes faces by a grid of their pixels."""

    z_dim = Z

    def encode(self, images: Any) -> Any:
        """Codes of float images (B, 3, H, W) in [-1, 1]."""
        from torch.nn.functional import adaptive_avg_pool2d

        from facsimile.generator import Codes

        return Codes(2 * adaptive_avg_pool2d(images, 16).flatten(1)[:, :Z])


class PixelReader:
    """Reads AUs from the brightness of a few pixels."""

    def predict(self, images: Any) -> Any:
        """AU intensities (B, 12) of uint8 images (B, H, W, 3)."""
        return images[:, 20, 20:32, 0].astype("float32") / 255


def build(faces: int, size: int) -> None:
    """Write a project of `faces` real and generated faces of `size` px into the current folder."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from facsimile.detection import AUOracle
    from facsimile.faces.aus import AUS
    from facsimile.faces.origins import generated_origins
    from facsimile.faces.tables import (
        FACE_SCHEMA,
        GENERATED_SCHEMA,
        LATENT_SCHEMA,
        decode_images,
        image_structs,
        to_tensor,
        write_shards,
    )
    from facsimile.language import ASKED
    from facsimile.world import iter_faces
    from tasks.shared.artefacts import DESCRIBE, ENCODE, INGEST, NEUTRAL, ORACLE, SYNTHESIZE

    people = decode_images(pa.concat_tables(iter_faces("world-ffhq", PEOPLE, size, 0)).to_pandas())

    splits = np.array(["val", "test", *["train"] * 8] * (PEOPLE // 10))
    trained = np.flatnonzero(splits == "train")

    def table(name: str, count: int, shown: np.ndarray, **columns: object) -> Iterator:
        """Faces of some people in turn, each shaded at random."""
        for start in range(0, count, _BATCH):
            rows = np.arange(start, min(count, start + _BATCH))
            person = shown[rows % len(shown)]
            rng = np.random.default_rng([start, count])
            shade = rng.uniform(0.8, 1.2, (len(rows), 4, 4, 1)).repeat(size // 4, 1)
            images = people[person] * shade.repeat(size // 4, 2)
            images = images.clip(0, 255).astype(np.uint8)
            ids = [f"{name}/p{who}/{row}" for who, row in zip(person, rows, strict=True)]
            codes = PixelGenerator().encode(to_tensor(images)).z.numpy()
            faces = pd.DataFrame(
                {
                    "sample_id": ids,
                    "dataset": "aus",
                    "subject_id": [f"p{who}" for who in person],
                    "split": splits[person],
                    "image": image_structs(images, ids),
                    "au_presence_only": False,
                    "z": list(codes),
                    "editable": False,
                    "source_id": [f"aus/p{who}/{who}" for who in person],
                    "edited_au": [AUS[row // len(shown) % len(AUS)] for row in rows],
                    "intensity": np.float32(0.6),
                }
            )
            for au in AUS:
                faces[au] = np.where(faces["edited_au"] == au, np.float32(0.6), np.float32(0))
            yield faces.assign(**columns)

    real = max(faces // 8, 12 * PEOPLE)
    for name, count in (("aus", real), ("attributes", ATTRIBUTES)):
        split = {} if name == "aus" else {"split": "train"}
        rows = table(name, count, np.arange(PEOPLE), origin="real", male=0.0, age=0.5, **split)
        kept = []

        def keep(rows=rows, kept=kept) -> Iterator[pd.DataFrame]:
            for batch in rows:
                kept.append(batch[["sample_id", "z", "editable"]])
                yield batch.assign(source_id=None, edited_au=None, intensity=None)

        write_shards(keep(), INGEST / name, FACE_SCHEMA)
        write_shards(kept, ENCODE / name, LATENT_SCHEMA)
    made = [name for name in generated_origins() if name != "described"]
    for name in made:
        stage = generated_origins()[name].stage
        count = (faces - faces // 8) // len(made)
        rows = table(stage, count, trained, origin=name, seed=0)
        write_shards(rows, Path("data", stage, "faces"), GENERATED_SCHEMA)
    write_shards([], DESCRIBE / "faces", GENERATED_SCHEMA)
    identities = next(table("person", PEOPLE, np.arange(PEOPLE)))[["sample_id", "image"]]
    identities.to_parquet(SYNTHESIZE / "identities")
    empty = pd.DataFrame(columns=["sample_id", "z", *ASKED]).astype(dict.fromkeys(ASKED, float))
    NEUTRAL.mkdir()
    for path in (NEUTRAL / "faces", DESCRIBE / "people", DESCRIBE / "words"):
        empty.to_parquet(path)
    AUOracle(size, widths=(8, 16, 16, 16)).save(ORACLE)
    (ORACLE / "metrics.json").write_text('{"identity": {"threshold": 0.6}}')


def run(command: list[str], folder: str) -> str:
    """Output of this module in a process of its own, with one thread per process."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = [sys.executable, "-m", "benchmarks.scale", *command]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, text=True, stdout=subprocess.PIPE
    ).stdout


def measure_all(faces: int, size: int) -> Iterator[dict[str, Any]]:
    """Build a project, and measure all stages on it."""
    with tempfile.TemporaryDirectory() as folder:
        run(["--build", str(faces), str(size)], folder)
        for stage in STAGES:
            row = {"stage": stage, "size": size, "faces": faces}
            row |= json.loads(run(["--measure", stage], folder))
            megabytes = [f"{row[key] / 1e6:7,.0f} MB" for key in ("process", "tree")]
            print(
                f"{stage:10s} {size:4d} px {faces:8,} faces  process {megabytes[0]}"
                f"  all {megabytes[1]}  {row['seconds']:6.0f} s",
                flush=True,
            )
            yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--large", type=int, nargs="*", default=[1000, 3000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--build", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=STAGES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build:
        build(*arguments.build)
        return
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    sizes = [(64, count) for count in arguments.faces] + [(256, n) for n in arguments.large]
    rows = []
    for size, count in sizes:
        rows += measure_all(count, size)
        if arguments.json:  # each time, because large projects take long
            results = {"machine": describe_machine("cpu"), "measurements": rows}
            arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
