"""Official checkpoints of the Diffusion Autoencoder (github.com/phizaz/diffae) made ours.

Their training module keeps two copies of its network, ``model.*`` and the running average of its
weights ``ema_model.*``; the average is what was published to be used. The checkpoint of a latent
prior holds ``ema_model.latent_net.*`` and ``conds_mean``, ``conds_std`` beside the autoencoder that
it was trained on; that of an autoencoder alone need not know the latent statistics, which then come
from its ``latent.pkl``.
"""

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from facsimile.errors import FacsimileError
from facsimile.generator.config import GeneratorConfig
from facsimile.generator.pipeline import (
    WEIGHTS_FILE,
    DiffAEPipeline,
    check_parameters,
    without_aliases,
)
from facsimile.tables import atomic_directory

AUTOENCODER = "ema_model."
PRIOR = "ema_model.latent_net."
STATISTICS = ("conds_mean", "conds_std")


def import_checkpoint(
    checkpoint: Path,
    config: GeneratorConfig,
    out: Path,
    latent: Path | None = None,
    overwrite: bool = False,
) -> DiffAEPipeline:
    """Convert an official checkpoint into a folder that `DiffAEPipeline.from_pretrained` opens.

    Weights are stored in float32, as they are in the checkpoint, and nothing in the files is
    executed. Without a prior in either file, the generator has none (`GeneratorConfig.latent_net`
    is None).

    Args:
        checkpoint: ``last.ckpt`` of an autoencoder or of its latent prior.
        config: sizes the checkpoint must have, those of its prior included (see `PRESETS`).
        out: folder to write; complete or not there at all.
        latent: ``last.ckpt`` of the latent prior, or ``latent.pkl`` (statistics without a prior);
            takes precedence over what `checkpoint` holds of these.
        overwrite: replace the generator in `out`, the whole folder.

    Returns:
        The imported generator, on the CPU.

    Raises:
        FacsimileError: a file is unreadable, truncated, not a checkpoint or holds pickled code; a
            parameter is missing, unexpected or of another shape; no file has latent statistics;
            the prior was trained on another autoencoder; `out` is taken.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise FacsimileError(f"{out} is there already; overwrite it or choose another folder")
    if out.exists() and not (out / WEIGHTS_FILE).exists():
        raise FacsimileError(f"{out} holds no generator, and nothing else is overwritten")
    state = read_tensors(checkpoint)
    latent_state = read_tensors(latent) if latent else state
    prior = {name: value for name, value in latent_state.items() if name.startswith(PRIOR)}
    networks = {name: value for name, value in state.items() if name.startswith(AUTOENCODER)}
    autoencoder = {name: value for name, value in networks.items() if not name.startswith(PRIOR)}
    # A checkpoint that was named as that of the prior must hold one; latent.pkl never does.
    is_statistics = not any(name.startswith(AUTOENCODER) for name in latent_state)
    if not prior and (latent is None or is_statistics):
        config = replace(config, latent_net=None)

    latent = latent or checkpoint
    pipeline = DiffAEPipeline(config)
    weights = _renamed(autoencoder, AUTOENCODER, "model.", pipeline, checkpoint)
    weights |= _renamed(prior, PRIOR, "latent_net.", pipeline, latent)
    weights |= _statistics(state | latent_state, pipeline.z_dim, latent)
    _check_same_encoder(state, latent_state, checkpoint, latent)
    pipeline.load_weights(weights, str(checkpoint))
    pipeline.eval().requires_grad_(False)
    with atomic_directory(out) as folder:
        pipeline.save_pretrained(folder, torch.float32)
        # Generators come with their metrics; of this one nothing but the size is known.
        metrics = {"parameters": sum(p.numel() for p in pipeline.parameters())}
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return pipeline


class _Inert:
    """Stands for classes of Lightning, which name the states of callbacks in a checkpoint."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Named tensors of a Lightning checkpoint, or of a plain dictionary such as ``latent.pkl``.

    Raises:
        FacsimileError: no readable checkpoint, or one that could run code when unpickled.
    """
    try:
        foreign = set(get_unsafe_globals_in_checkpoint(path))
        lightning = {name for name in foreign if name.startswith("pytorch_lightning.")}
        if not foreign - lightning:
            # Before version 1.5, Lightning had callback classes themselves among its keys.
            with safe_globals([(_Inert, name) for name in lightning]):
                # Memory-mapped: optimizer states are most of the file, and are not wanted.
                content = torch.load(path, "cpu", weights_only=True, mmap=True)
    except OSError as error:
        raise FacsimileError(f"{path}: not readable ({error.strerror})") from error
    except Exception as error:  # torch raises RuntimeError, ValueError, UnpicklingError, …
        raise FacsimileError(f"{path}: not a checkpoint, or a truncated one") from error
    if foreign - lightning:
        names = ", ".join(sorted(foreign - lightning)[:3])
        raise FacsimileError(f"{path}: refused, because unpickling it would run code: {names}")
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise FacsimileError(f"{path}: not a checkpoint: it has no state_dict")
    return without_aliases({k: value for k, value in state.items() if isinstance(value, Tensor)})


def _renamed(
    found: dict[str, Tensor], theirs: str, ours: str, pipeline: DiffAEPipeline, source: Path
) -> dict[str, Tensor]:
    """Parameters by the names they have here, checked by those they have in the file."""
    expected = {
        theirs + name.removeprefix(ours): value
        for name, value in pipeline.state_dict().items()
        if name.startswith(ours)
    }
    check_parameters(found, expected, str(source))
    return {ours + name.removeprefix(theirs): value for name, value in found.items()}


def _statistics(state: dict[str, Tensor], z_dim: int, source: Path) -> dict[str, Tensor]:
    if any(name not in state for name in STATISTICS):
        raise FacsimileError(
            f"{source}: has no latent statistics ({', '.join(STATISTICS)}), without which z_sem "
            "cannot be normalised; give the checkpoint of the latent prior, or latent.pkl"
        )
    # Checkpoints keep them as (1, z_dim), latent.pkl as (z_dim,).
    found = {name: state[name].flatten() for name in STATISTICS}
    check_parameters(found, dict.fromkeys(STATISTICS, torch.empty(z_dim)), str(source))
    return found


def _check_same_encoder(
    state: dict[str, Tensor], latent_state: dict[str, Tensor], checkpoint: Path, latent: Path
) -> None:
    """A prior of the same size but of another encoder's codes would load, and sample nonsense."""
    name = "ema_model.encoder.out.3.weight"
    if name not in state or name not in latent_state:
        return
    ours, theirs = state[name], latent_state[name]
    # Independent encoders are further apart than either is from zero.
    if ours.shape != theirs.shape or (ours - theirs).norm() > 0.5 * ours.norm():
        raise FacsimileError(f"{latent}: trained on another autoencoder than that of {checkpoint}")
