"""The dual-branch editor: remove the status of the AUs of a face, then add another one.

Source: "AUEditNet: Dual-Branch Facial Action Unit Intensity Manipulation with Implicit
Disentanglement" (Jin et al., CVPR 2024). For each level j of a code W and each AU i:

    Φ_enc(W^j) = ĉ^i,j, â^i,j, z^j                                 existence, intensity, embedding
    ẑ_tar = z_rnd − Σ_i â_rnd T(ĉ_rnd) + Σ_i a_tar T(c_tar)        rnd: another person, in training
    Ŵ_N = W_src − Φ_dec(z_src)                                     source branch: no AU is active
    Ŵ_tar = Ŵ_N + Φ_dec(ẑ_tar)                                     target branch
    Ψ_enc(c, a) = c^j, a^j    Ψ_dec(c^j, a^j) = c, a               labels of a level

With its own embedding in place of z_rnd, anything that z_src knows of the person could come back
through the target branch. With another person's, only the AUs can. In use, z_src takes its place.

What differs from the paper, and why:

- W+ has a vector for each layer of StyleGAN; a Diffusion Autoencoder has one code. Its levels are M
  blocks of the principal components of training codes.
- Decoding by diffusion is too slow for a training loop. So all losses compare codes: pixel and
  perceptual loss become the distance to the code of the target picture, the AU estimator reads
  codes, and identity is the cosine of linear discriminants of people.
- T(c) is c times one direction per AU and level, so that it has a gradient. Ψ has weights of its
  own for each AU, so that the labels of one AU do not depend on those of others.
- Φ_dec is linear: with hidden layers, residuals depend on more than the AUs, and edits of people
  outside the training set are worse.
- Pairs of training faces are moved part of the way to other people, since the encoders would take
  the identity of few people for AUs, and targets are drawn so that rare AUs are not neglected.
  I_rnd is also drawn from faces without AU labels: its status is estimated in any case.
- The status to remove is encoded from the levels of the source where these are known, and
  estimated where they are NaN. An AU without a target, or whose target is its known level, does
  not change, so that without a change the code stays as it is.
- Edits are calibrated: the change of each AU is multiplied by a gain, measured on decoded
  validation faces (calibration.py). x_T holds part of the expression, and expected codes vary less
  than codes. Transfer from a reference is not calibrated.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_model, save_model
from torch import Tensor

from facsimile.digests import file_md5
from facsimile.editing.base import (
    AnnotatedFaces,
    Change,
    CodeEditor,
    Condition,
    EditorData,
    Progress,
    no_progress,
)
from facsimile.editing.calibration import ImageCalibration
from facsimile.editing.dual_branch_networks import DualBranchNetworks, amounts, existence
from facsimile.editing.dual_branch_training import DualBranchTraining, Pool, identity_readout
from facsimile.editor_options import DualBranchOptions
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.generator.base import Codes, Generator
from facsimile.measurement import pearson_per_au

_DEFAULTS = DualBranchOptions()


class DualBranchEditor(CodeEditor):
    """Replaces the AU status of a code; an `Editor`.

    Args:
        options: options of the fit.

    Attributes:
        networks_: the trained networks.
        gains_: factor of the change of each AU, (N,).
        entailed_: edited AU → AUs that the causal graph declares as its effects.
        metrics_: see `metrics`.
        report_: see `report`.
    """

    name: ClassVar[str] = "dual-branch"
    file: ClassVar[str] = "dual_branch.safetensors"
    takes: ClassVar[tuple[Condition, ...]] = ("absolute", "reference")
    needs_source: ClassVar[bool] = False

    def __init__(self, options: DualBranchOptions = _DEFAULTS) -> None:
        self.options = options
        self.digest: str | None = None
        self.aus: tuple[str, ...] = ()
        self.networks_: DualBranchNetworks | None = None

    @property
    def z_dim(self) -> int:
        return self.networks_.config["z_dim"]

    @property
    def _columns(self) -> list[int]:
        return [AUS.index(au) for au in self.aus]

    def fit(self, data: EditorData, generator: Generator, progress: Progress = no_progress) -> Self:
        """Train on codes, then calibrate on decoded validation faces.

        Raises:
            FacsimileError: all faces show one person, or there are no neutral validation faces to
                calibrate on.
        """
        self.aus = data.aus
        self.entailed_ = data.graph.entailments(data.aus)
        train, further = _codes(data.train), _codes(data.attributes)
        pool = Pool.gather(train, data.train.aus[:, self._columns], further, generator.device)
        z, subjects = (np.concatenate(parts) for parts in zip(train, further, strict=True))
        identity = torch.from_numpy(identity_readout(z, subjects)).float().to(generator.device)
        self.networks_ = DualBranchTraining(self.options, pool, identity).run(progress)
        self.gains_ = torch.ones(len(self.aus))
        self.metrics_, correlations = self._validate(data.val)
        if self.options.calibration:
            calibration = ImageCalibration.fit(data, generator, self.options, progress)
            _, scales = calibration.measure(_Steps(self))
            self.gains_ = torch.from_numpy(scales[list(self.aus)].to_numpy(np.float32))
            self.metrics_["gain"] = float(scales.mean())
        self.report_ = pd.DataFrame(
            {
                "AU": self.aus,
                "r on unseen people": correlations,
                "gain": self.gains_.numpy().astype(float),
            }
        )
        return self

    def edit_codes(self, codes: Codes, change: Change) -> Codes:
        """Replace the status of AUs by that of the target levels or of the reference."""
        if change.references is not None:
            return codes.replace_z(self._copied(codes.z, change.references.codes.z))
        changes = ~change.target.isnan() & (change.target != change.source)
        for column in np.flatnonzero(changes.any(0).cpu().numpy()):
            if AUS[column] not in self.aus:
                raise FacsimileError(
                    f"editor {self.name} cannot edit {AUS[column]}; it has learnt "
                    f"{', '.join(self.aus)}"
                )
        levels = (levels[:, self._columns].to(codes.z) for levels in (change.source, change.target))
        return codes.replace_z(self._edited(codes.z, *levels, self.gains_))

    @torch.no_grad()
    def _edited(self, z: Tensor, source: Tensor, target: Tensor, gains: Tensor) -> Tensor:
        """Edited codes (B, D); levels (B, N), NaN in `source` = estimate, in `target` = keep."""
        networks = self.networks_.to(z.device)
        found = networks.encode(z)

        def status(levels: Tensor, otherwise: Tensor) -> Tensor:
            known = amounts(networks.pseudo_labels(levels.nan_to_num()))
            return torch.where(levels.isnan()[:, None], otherwise, known)

        removed = status(source, amounts(found.labels))
        added = status(target, removed)
        embeddings = networks.move(found.embeddings, gains.to(z) * (added - removed))
        return z - networks.decode(found.embeddings) + networks.decode(embeddings)

    @torch.no_grad()
    def _copied(self, z: Tensor, references: Tensor) -> Tensor:
        """Codes with the AU status of the references, whose embeddings go straight into Φ_dec."""
        networks = self.networks_.to(z.device)
        removed, added = (
            networks.decode(networks.encode(codes).embeddings) for codes in (z, references.to(z))
        )
        return z - removed + added

    @torch.no_grad()
    def _validate(self, faces: AnnotatedFaces) -> tuple[dict[str, float], np.ndarray]:
        """`metrics` on faces of unseen people, and the correlations of `report`."""
        networks = self.networks_
        z = faces.codes.z.to(networks.mean)
        aus = faces.aus[:, self._columns].copy()
        c, a = networks.labels(networks.encode(z).labels).unbind(-1)
        a = a.cpu().numpy()
        known = ~np.isnan(aus)
        active = existence(torch.from_numpy(aus)).numpy()

        pairs = pd.Series(np.arange(len(z))).groupby(faces.subjects)
        targets = pairs.transform(lambda rows: np.roll(rows, 1)).to_numpy(copy=True)
        levels = torch.from_numpy(aus).to(z)
        unknown = torch.full_like(levels, torch.nan)
        edited = self._edited(z, unknown, levels[targets], self.gains_)
        metrics = {
            "c_error": float(np.abs(c.cpu().numpy() - active)[known].mean()),
            "a_error": float(np.abs(a - aus)[known].mean()),
            "code_mse": float((edited - z[targets]).square().mean()),
            "code_mse_unedited": float((z - z[targets]).square().mean()),
        }
        return metrics, pearson_per_au(aus, a)

    def entailed(self, au: str) -> tuple[str, ...]:
        """AUs that the causal graph declares as effects of `au`: a dropping jaw parts the lips."""
        return self.entailed_[au]

    def metrics(self) -> dict[str, Any]:
        """On validation people: mean absolute errors of ĉ and â, mean squared distance of edited
        codes to those of the target frame without calibration, and of unedited codes; mean gain."""
        return self.metrics_

    def report(self) -> pd.DataFrame:
        """Correlation of â with labels of unseen people, and the gain of the calibration."""
        return self.report_

    def save(self, folder: Path) -> None:
        config = {
            "networks": self.networks_.config,
            "gains": self.gains_.tolist(),
            "entailed": self.entailed_,
            "metrics": self.metrics_,
            "report": self.report_.to_dict("list"),
        }
        save_model(self.networks_, str(folder / self.file), metadata={"config": json.dumps(config)})
        self.digest = file_md5(folder / self.file)

    @classmethod
    def load(cls, folder: Path) -> Self:
        path = folder / cls.file
        editor = cls()
        try:
            with safe_open(str(path), "pt") as file:
                config = json.loads(file.metadata()["config"])
            editor.networks_ = DualBranchNetworks(**config["networks"])
            load_model(editor.networks_, str(path))
            editor.gains_ = torch.tensor(config["gains"])
            editor.entailed_ = {au: tuple(names) for au, names in config["entailed"].items()}
            editor.metrics_, editor.report_ = config["metrics"], pd.DataFrame(config["report"])
        except Exception as error:  # safetensors raises its own untyped errors
            raise FacsimileError(f"{path}: not a dual-branch editor ({error})") from error
        editor.aus = tuple(editor.entailed_)
        editor.networks_.eval().requires_grad_(False)
        editor.digest = file_md5(path)
        return editor


class _Steps:
    """Single edits of neutral codes as `ImageCalibration` measures them."""

    def __init__(self, editor: DualBranchEditor) -> None:
        self.aus = editor.aus
        self._editor = editor

    def add_to(self, z: Tensor, intensities: Mapping[str, float]) -> Tensor:
        """Codes with full edits of AUs, whose change is multiplied by the intensities."""
        gains = torch.tensor([intensities.get(au, 0.0) for au in self.aus])
        neutral = z.new_zeros(len(z), len(self.aus))
        return self._editor._edited(z, neutral, neutral + 1, gains)


def _codes(faces: AnnotatedFaces) -> tuple[np.ndarray, np.ndarray]:
    """Codes (N, D) and subject ids (N,)."""
    return faces.codes.z.float().cpu().numpy(), np.asarray(faces.subjects)
