"""Train a Diffusion Autoencoder on a face table and write its checkpoint.

    python -m tasks.generator [--params params.yaml] [--faces FACES] [--work WORK] [--out OUT]
                              [--oracle ORACLE] [--device DEVICE]
    torchrun --nproc-per-node N -m tasks.generator …

Reads   params.yaml, section `generator`; FACES, a face table (rendered from world-ffhq if absent);
        ORACLE, the AU estimator for reconstructions (default: data/oracle for rendered faces, none
        for other tables).
Writes  OUT/config.json, generator.safetensors, metrics.json, samples.png, README.md; during
        training WORK/stats.jsonl, one line per checkpoint, and WORK/step-*.png.

Frozen in the pipeline, because the checkpoint is shipped. An interrupted run resumes from WORK. On
a CPU its weights are bit-identical to those of an uninterrupted run. Processes started by torchrun
split each batch evenly and must share WORK.
"""

import argparse
import json
import tempfile
from pathlib import Path

from facsimile.detection import AUOracle
from facsimile.errors import FacsimileError
from facsimile.generator import DiffAEPipeline
from facsimile.pretraining import (
    PHASES,
    GeneratorTraining,
    TrainingOptions,
    evaluate,
    join,
    model_card,
    open_faces,
    train_generator,
)
from tasks.helpers.frozen import main
from tasks.params import read_section
from tasks.shared.artefacts import ORACLE
from tasks.shared.stage import progress


def _oracle(arguments: argparse.Namespace, rendered: bool, size: int) -> AUOracle | None:
    """The AU estimator for faces of this size; None if there is none."""
    path = arguments.oracle or (ORACLE if rendered else None)
    if path is None:
        return None
    oracle = AUOracle.load(path, arguments.device)
    side = oracle.config["image_size"]
    if side == size:
        return oracle
    if arguments.oracle:
        raise FacsimileError(
            f"{path}: reads faces of {side} pixels, generator.unet.image_size is {size}"
        )
    return None


def run(arguments: argparse.Namespace) -> None:
    """Train and evaluate the generator and write its checkpoint."""
    options = read_section(arguments.params, "generator", TrainingOptions)
    work, rendered = arguments.work, arguments.faces == arguments.work / "faces"
    work.mkdir(parents=True, exist_ok=True)
    # Loaded first, so that its errors are reported before the training.
    oracle = _oracle(arguments, rendered, options.unet.image_size)

    with join(arguments.device) as ranks:
        training = GeneratorTraining(options, ranks, work, progress)
        for phase in PHASES:
            training.share(phase)  # a batch that cannot be divided fails before the first phase
        with ranks.first_before_others():
            faces = open_faces(arguments.faces, work, options)
        pipeline = train_generator(training, faces)
        if not ranks.first:
            return

    # Written to a temporary folder first, because the existing files may be in use.
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".tmp", dir=arguments.out) as folder:
        out = Path(folder)
        # Evaluate the weights as shipped: in half precision, loaded from disk.
        pipeline.save_pretrained(out)
        pipeline = DiffAEPipeline.from_pretrained(out, str(ranks.device), options.eval_options())
        metrics, picture = evaluate(pipeline, oracle, faces, options)
        metrics["parameters"] = sum(p.numel() for p in pipeline.parameters())
        metrics["images_seen"] = options.autoencoder.steps * options.autoencoder.batch_size
        (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        (out / "README.md").write_text(model_card(options, faces, rendered, metrics))
        picture.save(out / "samples.png")
        for file in out.iterdir():
            file.replace(arguments.out / file.name)


if __name__ == "__main__":
    main("generator", __doc__, run, oracle=None)
