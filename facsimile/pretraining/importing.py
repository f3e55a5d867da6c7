"""Official checkpoints of the Diffusion Autoencoder (github.com/phizaz/diffae) made ours.

Their training module keeps two copies of its network, ``model.*`` and the running average of its
weights ``ema_model.*``; the average is what was published to be used. The checkpoint of a latent
prior holds ``ema_model.latent_net.*`` and ``conds_mean``, ``conds_std`` beside the autoencoder that
it was trained on; that of an autoencoder alone need not know the latent statistics, which then come
from its ``latent.pkl``.

Other tools nest and name these copies in their own ways (``state_dict``, ``ema``, ``module.``), so
they are found by the names of their parameters, whatever precedes them.
"""

import json
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from facsimile.errors import FacsimileError
from facsimile.faces.tables import atomic_directory
from facsimile.generator.base import WEIGHTS_FILE
from facsimile.generator.config import GeneratorConfig
from facsimile.generator.pipeline import DiffAEPipeline, check_parameters, without_aliases
from facsimile.pretraining.checkpoints import read_tensors
from facsimile.pretraining.presets import PRESETS

MODEL, PRIOR = "model.", "latent_net."
STATISTICS = ("conds_mean", "conds_std")

# Parts of names that wrap a network: DataParallel, torch.compile, FSDP, Lightning Fabric.
_WRAPPERS = {
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
}
_AVERAGES = ("ema", "averaged", "average", "avg", "swa", "shadow")
# What averages and training modules keep beside the parameters of a network.
_BESIDE = {"n_averaged", "num_updates", "decay", "x_T", *STATISTICS}

# What a file holds instead, by the beginnings of its parameters' names.
_OTHERS = {
    "Stable Diffusion or another latent diffusion model": ("model.diffusion_model", "first_stage"),
    "a network of diffusers": ("down_blocks", "up_blocks", "mid_block", "conv_in"),
    "a StyleGAN": ("synthesis", "mapping", "G_ema", "g_ema"),
    "a diffusion model without a semantic encoder": ("input_blocks", "time_embed"),
}


@dataclass(frozen=True)
class _Copy:
    """One copy of a network in a file.

    Attributes:
        prefix: what precedes the names of its parameters.
        averaged: whether it is a running average of weights.
    """

    prefix: str
    averaged: bool

    @property
    def shown(self) -> str:
        return self.prefix.removeprefix("state_dict.")


@dataclass(frozen=True)
class _Contents:
    """What a file holds.

    Attributes:
        path: of the file.
        tensors: by name, without wrappers.
        autoencoder, prior: where their parameters are; None if there are none.
    """

    path: Path
    tensors: dict[str, Tensor]
    autoencoder: _Copy | None
    prior: _Copy | None

    @property
    def statistics(self) -> dict[str, Tensor]:
        """Those of ``STATISTICS`` that there are: with the networks, else the least nested."""
        copies = [copy.prefix for copy in (self.autoencoder, self.prior) if copy]
        order = sorted(
            self.tensors, key=lambda name: (any(map(name.startswith, copies)), -len(name))
        )
        return {
            last: self.tensors[name]
            for name in order
            if (last := name.rpartition(".")[2]) in STATISTICS
        }


def import_checkpoint(
    checkpoint: Path,
    config: GeneratorConfig,
    out: Path,
    latent: Path | None = None,
    overwrite: bool = False,
) -> DiffAEPipeline:
    """Convert an official checkpoint into a folder that `DiffAEPipeline.from_pretrained` opens.

    Weights are stored in float32, and nothing in the files is executed. Without a prior in either
    file, the generator has none (`GeneratorConfig.latent_net` is None).

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
            parameter is missing, unexpected, of another shape, NaN or infinite; no file has latent
            statistics; the prior was trained on another autoencoder; `out` is taken.

    Warns:
        UserWarning: a file holds no averaged weights, and raw ones are taken.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise FacsimileError(f"{out} is there already; overwrite it or choose another folder")
    if out.exists() and not (out / WEIGHTS_FILE).exists():
        raise FacsimileError(f"{out} holds no generator, and nothing else is overwritten")
    with torch.device("meta"):
        networks = DiffAEPipeline(config).state_dict()
    ours = _open(checkpoint, networks)
    theirs = _open(latent, networks) if latent else ours
    if ours.autoencoder is None:
        raise FacsimileError(f"{checkpoint}: {_instead(ours)}")
    if theirs.prior is None and theirs.autoencoder is None and not theirs.statistics:
        names = " and ".join(STATISTICS)
        raise FacsimileError(f"{latent}: holds neither a latent prior nor {names}")
    # A checkpoint that was named as that of the prior must hold one; latent.pkl never does.
    if theirs.prior is None and not (latent and theirs.autoencoder):
        config = replace(config, latent_net=None)

    pipeline = DiffAEPipeline(config)
    weights = _parameters(ours, ours.autoencoder, MODEL, pipeline)
    if pipeline.latent_net is not None:
        prior = theirs.prior or _Copy(f"{theirs.autoencoder.prefix}{PRIOR}", True)
        weights |= _parameters(theirs, prior, PRIOR, pipeline)
    weights |= _statistics(ours.statistics | theirs.statistics, pipeline.z_dim, theirs.path)
    _check_same_encoder(ours, theirs)
    _tell_raw(ours, ours.autoencoder)
    if theirs.prior and (theirs is not ours or ours.autoencoder.averaged):
        _tell_raw(theirs, theirs.prior)
    pipeline.load_weights(weights, str(checkpoint))
    pipeline.eval().requires_grad_(False)
    with atomic_directory(out) as folder:
        pipeline.save_pretrained(folder, torch.float32)
        # Generators come with their metrics; of this one nothing but the size is known.
        metrics = {"parameters": sum(p.numel() for p in pipeline.parameters())}
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return pipeline


def _open(path: Path, networks: Mapping[str, Tensor]) -> _Contents:
    """Find the networks in a file by names of their parameters, those of a `DiffAEPipeline`."""
    tensors: dict[str, Tensor] = {}
    for name, value in without_aliases(read_tensors(path)).items():
        bare = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
        if bare in tensors:
            raise FacsimileError(f"{path}: holds {bare} twice, once as {name}")
        tensors[bare] = value
    copies = {
        network: _best_copy(path, tensors, _under(network, networks), core)
        for network, core in ((MODEL, "encoder."), (PRIOR, "layers."))
    }
    prior = copies[PRIOR]
    # The one that was trained and averaged together with the autoencoder.
    if copies[MODEL] and any(name.startswith(copies[MODEL].prefix + PRIOR) for name in tensors):
        prior = _Copy(copies[MODEL].prefix + PRIOR, copies[MODEL].averaged)
    return _Contents(path, tensors, copies[MODEL], prior)


def _best_copy(
    path: Path, tensors: Mapping[str, Tensor], network: Collection[str], core: str
) -> _Copy | None:
    """The copy of a network to be taken: an average if there is one.

    Args:
        path: of the file.
        tensors: all of the file.
        network: names of the network's parameters.
        core: part of the network that no other has; most of it must have these names.

    Raises:
        FacsimileError: there are several, of which none is to be preferred.
    """
    matches: Counter[str] = Counter()
    for name in tensors:
        parts = name.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in network:
                matches["".join(f"{part}." for part in parts[:cut])] += 1
    copies = []
    for prefix, count in matches.items():
        inner = any(prefix.startswith(p) and n > count for p, n in matches.items())
        cores = _under(prefix + core, tensors)
        known = sum(f"{core}{name}" in network for name in cores)
        if not inner and known > len(cores) / 2:
            words = re.split(r"[\W_\d]+", prefix.lower())
            averaged = f"{prefix}n_averaged" in tensors or any(w in _AVERAGES for w in words)
            copies.append(_Copy(prefix, averaged))
    best = [copy for copy in copies if copy.averaged] or copies
    if len(best) > 1:
        names = ", ".join(f"{copy.shown}*" for copy in best)
        raise FacsimileError(
            f"{path}: holds several copies of the network, {names}; save the one to import alone"
        )
    return best[0] if best else None


def _under(prefix: str, tensors: Iterable[str]) -> set[str]:
    """What follows a prefix in the names that have it."""
    return {name.removeprefix(prefix) for name in tensors if name.startswith(prefix)}


def _instead(contents: _Contents) -> str:
    """What a file without an autoencoder is."""
    if contents.prior:
        return (
            "a latent prior without its autoencoder: give the checkpoint of that one, and this one "
            "by --latent"
        )
    if contents.statistics:
        return (
            "latent statistics without an autoencoder: give the checkpoint of that one, and this "
            "file by --latent"
        )
    if not contents.tensors:
        return "not a checkpoint: it has no state_dict, nor any other tensors with names"
    names = sorted(contents.tensors)
    kinds = (
        kind
        for kind, beginnings in _OTHERS.items()
        if any(f".{start}" in f".{name}" for name in names for start in beginnings)
    )
    return (
        f"not a checkpoint of a Diffusion Autoencoder, but of {next(kinds, 'another network')} "
        f"({len(names)} tensors: {', '.join(names[:2])}, …)"
    )


def _parameters(
    contents: _Contents, copy: _Copy, network: str, pipeline: DiffAEPipeline
) -> dict[str, Tensor]:
    """Parameters of a network by the names they have in `pipeline`, checked.

    Args:
        contents: of the file.
        copy: the one to take.
        network: ``MODEL`` or ``PRIOR``.
        pipeline: has the expected parameters.

    Raises:
        FacsimileError: one is missing, unexpected, of another shape, or not of finite numbers.
    """
    expected = {
        name: value for name, value in pipeline.state_dict().items() if name.startswith(network)
    }
    modules = {name.split(".")[1] for name in expected}
    # Without a name of its own, a network shares the level of names with anything else.
    bare = not copy.prefix or copy.prefix.endswith("state_dict.")
    found = {}
    for rest in _under(copy.prefix, contents.tensors):
        first = rest.split(".")[0]
        other = rest in _BESIDE or (network == MODEL and rest.startswith(PRIOR))
        if not other and (first in modules or not bare):
            found[rest] = contents.tensors[copy.prefix + rest]
    try:
        check_parameters(
            {copy.shown + rest: value for rest, value in found.items()},
            {copy.shown + name.removeprefix(network): value for name, value in expected.items()},
            str(contents.path),
        )
    except FacsimileError as error:
        raise FacsimileError(f"{error}{_suggestion(contents, found, network)}") from error
    for rest, value in found.items():
        _check_values(value, f"{contents.path}: {copy.shown}{rest}")
    return {network + rest: value for rest, value in found.items()}


def _check_values(value: Tensor, what: str) -> None:
    if value.is_meta or value.layout != torch.strided or not value.dtype.is_floating_point:
        kind = "no numbers" if value.is_meta else f"{value.dtype}".removeprefix("torch.")
        raise FacsimileError(f"{what} holds {kind}, not plain floating-point numbers")
    if not value.isfinite().all():
        wrong = int((~value.isfinite()).sum())
        raise FacsimileError(
            f"{what} holds {wrong:,} of {value.numel():,} numbers that are NaN or infinite: its "
            "training diverged, or the file is broken; take another checkpoint"
        )


def _suggestion(contents: _Contents, found: Mapping[str, Tensor], network: str) -> str:
    """The presets whose network these parameters are, as the end of a message; or nothing."""
    shapes = {name: value.shape for name, value in found.items()}
    fitting = [name for name in PRESETS if _preset_shapes(name, network) == shapes]
    return f"; they are those of --config {' or '.join(fitting)}" if fitting else ""


@cache
def _preset_shapes(name: str, network: str) -> dict[str, torch.Size]:
    """Parameter → shape of a network of a published generator."""
    with torch.device("meta"):
        state = DiffAEPipeline(PRESETS[name]).state_dict()
    return {
        key.removeprefix(network): value.shape
        for key, value in state.items()
        if key.startswith(network)
    }


def _tell_raw(contents: _Contents, copy: _Copy) -> None:
    if not copy.averaged:
        where = f"{copy.shown}*" if copy.shown else "those without a prefix"
        warnings.warn(
            f"{contents.path}: holds no averaged weights (ema_model.*); the raw ones are used, "
            f"{where}",
            stacklevel=3,
        )


def _statistics(found: dict[str, Tensor], z_dim: int, source: Path) -> dict[str, Tensor]:
    if any(name not in found for name in STATISTICS):
        raise FacsimileError(
            f"{source}: has no latent statistics ({', '.join(STATISTICS)}), without which z_sem "
            "cannot be normalised; give the checkpoint of the latent prior, or latent.pkl"
        )
    # Checkpoints keep them as (1, z_dim), latent.pkl as (z_dim,).
    found = {name: found[name].flatten() for name in STATISTICS}
    check_parameters(found, dict.fromkeys(STATISTICS, torch.empty(z_dim)), str(source))
    for name, value in found.items():
        _check_values(value, f"{source}: {name}")
    if (found["conds_std"] <= 0).any():
        raise FacsimileError(f"{source}: conds_std holds {found['conds_std'].min():g}, not above 0")
    return found


def _check_same_encoder(ours: _Contents, theirs: _Contents) -> None:
    """A prior of the same size but of another encoder's codes would load, and sample nonsense."""
    name = "encoder.out.3.weight"
    one = ours.tensors.get(f"{ours.autoencoder.prefix}{name}")
    other = theirs.tensors.get(f"{theirs.autoencoder.prefix}{name}") if theirs.autoencoder else one
    if one is None or other is None:
        return
    # Independent encoders are further apart than either is from zero.
    if one.shape != other.shape or (one - other).norm() > 0.5 * one.norm():
        raise FacsimileError(
            f"{theirs.path}: trained on another autoencoder than that of {ours.path}"
        )
