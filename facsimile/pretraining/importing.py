"""Import official checkpoints of the Diffusion Autoencoder (github.com/phizaz/diffae).

The training module of the reference has two copies of its network: ``model.*``, and the running
average of its weights ``ema_model.*``, which is the one to use. The checkpoint of a latent prior
holds ``ema_model.latent_net.*``, ``conds_mean`` and ``conds_std`` in addition to the autoencoder it
was trained on. The checkpoint of an autoencoder alone may lack these latent statistics; they are
then in its ``latent.pkl``.

Other tools nest and rename these copies (``state_dict``, ``ema``, ``module.``), so they are found
by the names of their parameters, with any prefix.
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
# Tensors of averages and training modules that are not parameters of a network.
_NOT_PARAMETERS = {"n_averaged", "num_updates", "decay", "x_T", *STATISTICS}

# Other kinds of model, recognised by prefixes of their parameter names.
_OTHER_MODELS = {
    "Stable Diffusion or another latent diffusion model": ("model.diffusion_model", "first_stage"),
    "a network of diffusers": ("down_blocks", "up_blocks", "mid_block", "conv_in"),
    "a StyleGAN": ("synthesis", "mapping", "G_ema", "g_ema"),
    "a diffusion model without a semantic encoder": ("input_blocks", "time_embed"),
}


@dataclass(frozen=True)
class _Copy:
    """One copy of a network in a file.

    Attributes:
        prefix: prefix of its parameter names.
        averaged: whether it is a running average of weights.
    """

    prefix: str
    averaged: bool

    @property
    def label(self) -> str:
        """The prefix for messages."""
        return self.prefix.removeprefix("state_dict.")


@dataclass(frozen=True)
class _Contents:
    """Contents of a checkpoint file.

    Attributes:
        path: path of the file.
        tensors: tensors by name, without wrappers.
        autoencoder, prior: location of their parameters; None if there are none.
    """

    path: Path
    tensors: dict[str, Tensor]
    autoencoder: _Copy | None
    prior: _Copy | None

    @property
    def statistics(self) -> dict[str, Tensor]:
        """Latent statistics by name, stored with the networks or else the least nested ones."""
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

    Weights are stored in float32, and no code in the files is executed. If neither file has a
    prior, the generator has none (`GeneratorConfig.latent_net` is None).

    Args:
        checkpoint: ``last.ckpt`` of an autoencoder or of its latent prior.
        config: expected sizes of the networks, including the prior (see `PRESETS`).
        out: folder to write, atomically.
        latent: ``last.ckpt`` of the latent prior, or ``latent.pkl`` (statistics without a prior);
            takes precedence over the prior and statistics in `checkpoint`.
        overwrite: replace the folder `out` if it holds a generator.

    Returns:
        The imported generator, on the CPU.

    Raises:
        FacsimileError: a file is unreadable, truncated, not a checkpoint or holds pickled code; a
            parameter is missing, unexpected, of the wrong shape, NaN or infinite; no file has
            latent statistics; the prior was trained on another autoencoder; `out` exists already.

    Warns:
        UserWarning: a file holds no averaged weights, so its raw weights are used.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise FacsimileError(f"{out} already exists; overwrite it or choose another folder")
    if out.exists() and not (out / WEIGHTS_FILE).exists():
        raise FacsimileError(f"{out} holds no generator, so it is not overwritten")
    with torch.device("meta"):
        networks = DiffAEPipeline(config).state_dict()
    main_file = _open(checkpoint, networks)
    prior_file = _open(latent, networks) if latent else main_file
    if main_file.autoencoder is None:
        raise FacsimileError(f"{checkpoint}: {_describe(main_file)}")
    if prior_file.prior is None and prior_file.autoencoder is None and not prior_file.statistics:
        names = " and ".join(STATISTICS)
        raise FacsimileError(f"{latent}: holds neither a latent prior nor {names}")
    # A checkpoint given as `latent` must hold a prior; latent.pkl never does.
    if prior_file.prior is None and not (latent and prior_file.autoencoder):
        config = replace(config, latent_net=None)

    pipeline = DiffAEPipeline(config)
    weights = _parameters(main_file, main_file.autoencoder, MODEL, pipeline)
    if pipeline.latent_net is not None:
        prior = prior_file.prior or _Copy(f"{prior_file.autoencoder.prefix}{PRIOR}", True)
        weights |= _parameters(prior_file, prior, PRIOR, pipeline)
    statistics = main_file.statistics | prior_file.statistics
    weights |= _statistics(statistics, pipeline.z_dim, prior_file.path)
    _check_same_encoder(main_file, prior_file)
    _warn_if_raw(main_file, main_file.autoencoder)
    if prior_file.prior and (prior_file is not main_file or main_file.autoencoder.averaged):
        _warn_if_raw(prior_file, prior_file.prior)
    pipeline.load_weights(weights, str(checkpoint))
    pipeline.eval().requires_grad_(False)
    with atomic_directory(out) as folder:
        pipeline.save_pretrained(folder, torch.float32)
        # Generators come with metrics; for an imported one, only the size is known.
        metrics = {"parameters": sum(p.numel() for p in pipeline.parameters())}
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return pipeline


def _open(path: Path, networks: Mapping[str, Tensor]) -> _Contents:
    """Find the networks in a file by their parameter names, which `networks` lists."""
    tensors: dict[str, Tensor] = {}
    for name, value in without_aliases(read_tensors(path)).items():
        bare = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
        if bare in tensors:
            raise FacsimileError(f"{path}: holds {bare} twice, once as {name}")
        tensors[bare] = value
    copies = {
        network: _best_copy(path, tensors, _names_under(network, networks), core)
        for network, core in ((MODEL, "encoder."), (PRIOR, "layers."))
    }
    prior = copies[PRIOR]
    # Prefer the prior that was trained and averaged together with the autoencoder.
    if copies[MODEL] and any(name.startswith(copies[MODEL].prefix + PRIOR) for name in tensors):
        prior = _Copy(copies[MODEL].prefix + PRIOR, copies[MODEL].averaged)
    return _Contents(path, tensors, copies[MODEL], prior)


def _best_copy(
    path: Path, tensors: Mapping[str, Tensor], network: Collection[str], core: str
) -> _Copy | None:
    """The copy of a network to import: an average if there is one.

    Args:
        path: path of the file.
        tensors: all tensors of the file.
        network: names of the network's parameters.
        core: prefix of a part that only this network has; most names in it must match.

    Raises:
        FacsimileError: there are several equally good copies.
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
        cores = _names_under(prefix + core, tensors)
        matching = sum(f"{core}{name}" in network for name in cores)
        if not inner and matching > len(cores) / 2:
            words = re.split(r"[\W_\d]+", prefix.lower())
            averaged = f"{prefix}n_averaged" in tensors or any(w in _AVERAGES for w in words)
            copies.append(_Copy(prefix, averaged))
    best = [copy for copy in copies if copy.averaged] or copies
    if len(best) > 1:
        names = ", ".join(f"{copy.label}*" for copy in best)
        raise FacsimileError(
            f"{path}: holds several copies of the network, {names}; save only the one to import"
        )
    return best[0] if best else None


def _names_under(prefix: str, tensors: Iterable[str]) -> set[str]:
    """The names that start with a prefix, without it."""
    return {name.removeprefix(prefix) for name in tensors if name.startswith(prefix)}


def _describe(contents: _Contents) -> str:
    """Describe a file without an autoencoder."""
    if contents.prior:
        return (
            "a latent prior without its autoencoder: use the checkpoint of the autoencoder, and "
            "add this file with --latent"
        )
    if contents.statistics:
        return (
            "latent statistics without an autoencoder: use the checkpoint of the autoencoder, and "
            "add this file with --latent"
        )
    if not contents.tensors:
        return "not a checkpoint: it has no state_dict and no other named tensors"
    names = sorted(contents.tensors)
    kinds = (
        kind
        for kind, prefixes in _OTHER_MODELS.items()
        if any(f".{prefix}" in f".{name}" for name in names for prefix in prefixes)
    )
    return (
        f"not a checkpoint of a Diffusion Autoencoder, but of {next(kinds, 'another network')} "
        f"({len(names)} tensors: {', '.join(names[:2])}, …)"
    )


def _parameters(
    contents: _Contents, copy: _Copy, network: str, pipeline: DiffAEPipeline
) -> dict[str, Tensor]:
    """Checked parameters of a network, by their names in `pipeline`.

    Args:
        contents: contents of the file.
        copy: the copy of the network to import.
        network: ``MODEL`` or ``PRIOR``.
        pipeline: pipeline with the expected parameters.

    Raises:
        FacsimileError: a parameter is missing, unexpected, of the wrong shape or not finite.
    """
    expected = {
        name: value for name, value in pipeline.state_dict().items() if name.startswith(network)
    }
    modules = {name.split(".")[1] for name in expected}
    # Without a prefix of its own, a network may be mixed with other tensors.
    bare = not copy.prefix or copy.prefix.endswith("state_dict.")
    found = {}
    for rest in _names_under(copy.prefix, contents.tensors):
        first = rest.split(".")[0]
        other = rest in _NOT_PARAMETERS or (network == MODEL and rest.startswith(PRIOR))
        if not other and (first in modules or not bare):
            found[rest] = contents.tensors[copy.prefix + rest]
    try:
        check_parameters(
            {copy.label + rest: value for rest, value in found.items()},
            {copy.label + name.removeprefix(network): value for name, value in expected.items()},
            str(contents.path),
        )
    except FacsimileError as error:
        raise FacsimileError(f"{error}{_suggestion(contents, found, network)}") from error
    for rest, value in found.items():
        _check_values(value, f"{contents.path}: {copy.label}{rest}")
    return {network + rest: value for rest, value in found.items()}


def _check_values(value: Tensor, what: str) -> None:
    if value.is_meta or value.layout != torch.strided or not value.dtype.is_floating_point:
        kind = "no numbers" if value.is_meta else f"{value.dtype}".removeprefix("torch.")
        raise FacsimileError(f"{what} holds {kind}, not plain floating-point numbers")
    if not value.isfinite().all():
        wrong = int((~value.isfinite()).sum())
        raise FacsimileError(
            f"{what} holds {wrong:,} of {value.numel():,} values that are NaN or infinite: the "
            "training diverged, or the file is broken; use another checkpoint"
        )


def _suggestion(contents: _Contents, found: Mapping[str, Tensor], network: str) -> str:
    """The presets that match the found parameters, as the end of a message; may be empty."""
    shapes = {name: value.shape for name, value in found.items()}
    matching = [name for name in PRESETS if _preset_shapes(name, network) == shapes]
    return f"; the file matches --config {' or '.join(matching)}" if matching else ""


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


def _warn_if_raw(contents: _Contents, copy: _Copy) -> None:
    if not copy.averaged:
        names = f"{copy.label}*" if copy.label else "without a prefix"
        warnings.warn(
            f"{contents.path}: holds no averaged weights (ema_model.*); using the raw weights "
            f"({names})",
            stacklevel=3,
        )


def _statistics(found: dict[str, Tensor], z_dim: int, source: Path) -> dict[str, Tensor]:
    if any(name not in found for name in STATISTICS):
        raise FacsimileError(
            f"{source}: has no latent statistics ({', '.join(STATISTICS)}), which are needed to "
            "normalise z_sem; add the checkpoint of the latent prior, or latent.pkl, with --latent"
        )
    # Checkpoints keep them as (1, z_dim), latent.pkl as (z_dim,).
    found = {name: found[name].flatten() for name in STATISTICS}
    check_parameters(found, dict.fromkeys(STATISTICS, torch.empty(z_dim)), str(source))
    for name, value in found.items():
        _check_values(value, f"{source}: {name}")
    if (found["conds_std"] <= 0).any():
        raise FacsimileError(f"{source}: conds_std holds {found['conds_std'].min():g}, must be > 0")
    return found


def _check_same_encoder(main_file: _Contents, prior_file: _Contents) -> None:
    """A prior of the right size, trained on another encoder, would load and sample nonsense."""
    name = "encoder.out.3.weight"
    one = other = main_file.tensors.get(f"{main_file.autoencoder.prefix}{name}")
    if prior_file.autoencoder:
        other = prior_file.tensors.get(f"{prior_file.autoencoder.prefix}{name}")
    if one is None or other is None:
        return
    # The distance between independent encoders is larger than the norm of either.
    if one.shape != other.shape or (one - other).norm() > 0.5 * one.norm():
        raise FacsimileError(
            f"{prior_file.path}: trained on another autoencoder than {main_file.path}"
        )
