"""The label-free editor: copies the expression of a reference face, without AU labels.

Source: "LEED: Label-Free Expression Editing via Disentanglement" (Wu and Lu, 2020). With C the code
of a face and C_N that of the same person's neutral face:

    Δ* = C_R − C_RN                                   expression of reference R      Eq. (1)
    Δ  = X(C_R, C_RN):  min ‖Δ − Δ*‖² − λ_Q E log Q(Δ | F_R)                 Eqs. (2) to (4)
    C  = I(C_N, α Δ):   min ‖C − (C_N + α Δ)‖² − E D(C)                     Eqs. (6) and (13)
                        min ‖I(C_N, X(C, C_N)) − C‖²                                 Eq. (7)
    S:                  min 1 − cos(S(C_R) − S(C_RN), S(C) − S(C_N))        Eqs. (9) to (11)

X removes from the difference what does not belong to the expression, such as pose. F are features
of an expression model, and Q is a normal distribution around a function of them. I keeps the sum on
the manifold of codes, with a Wasserstein critic D. α is the intensity.

What differs here:
- Encoder and decoder are those of the pretrained generator and are not trained, so S acts on codes,
  and trains X and I.
- Neutral codes come from our neutralizer instead of a GAN; F are features of the neutralizer. It
  has learnt from labelled faces, as the paper's GAN and expression classifier have. The faces that
  X and I are trained on need no labels.
- The neutralizer moves a code only as far as its own predictions require, which decodes to a weaker
  expression, but not to a neutral face. So Δ* is the difference to the mean code of the person's
  frames that the neutralizer finds least active; X still takes C_RN from the neutralizer, because a
  reference is a single picture.
- The critic has no logarithms (label_free_networks.py).
- The paper has no AU levels. To reach them, the editor copies the training face whose labelled AUs
  come closest, with the α that fits best; levels that no training face shows are not reached.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from facsimile.digests import file_md5
from facsimile.editing.base import (
    Change,
    CodeEditor,
    Condition,
    EditorData,
    Progress,
    no_progress,
)
from facsimile.editing.label_free_networks import Extractor, Interpolator, LabelFreeTraining
from facsimile.editing.neutralization import neutralize
from facsimile.editing.neutralizer import Neutralizer
from facsimile.editor_options import LabelFreeOptions
from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS
from facsimile.generator.base import Codes, Generator

_DEFAULTS = LabelFreeOptions()
_RESTING = 0.1  # share of the frames of each person that count as at rest
_BATCH = 128  # codes that are neutralized together
_REMEMBERED = 64  # neutral codes


class LabelFreeEditor(CodeEditor):
    """Copies expressions of reference faces; an `Editor`.

    Args:
        options: options of the training.

    Attributes:
        neutralizer_: gives the neutral codes.
        extractor_: X.
        interpolator_: I.
        expressions_: Δ (R, D) of training faces to copy.
        levels_: their AUs (R, 12).
        metrics_: result of `metrics`, measured by `fit`.
    """

    name: ClassVar[str] = "label-free"
    file: ClassVar[str] = "label_free.safetensors"
    takes: ClassVar[tuple[Condition, ...]] = ("reference",)
    needs_source: ClassVar[bool] = True

    def __init__(self, options: LabelFreeOptions = _DEFAULTS) -> None:
        self.options = options
        self.digest: str | None = None
        self.aus: tuple[str, ...] = ()
        self.entails_: dict[str, tuple[str, ...]] = {}
        self.metrics_: dict[str, float] = {}
        self._neutral_of: dict[bytes, Tensor] = {}

    @property
    def z_dim(self) -> int:
        return self.neutralizer_.config["z_dim"]

    def fit(self, data: EditorData, generator: Generator, progress: Progress = no_progress) -> Self:
        """Train on codes of training faces; labels only tell later which face to copy."""
        self.aus = data.aus
        self.entails_ = data.graph.entailments(data.aus)
        self.neutralizer_ = data.neutralizer
        labelled = np.flatnonzero(~np.isnan(data.train.aus[:, self._columns()]).any(axis=1))
        if not len(labelled):
            raise FacsimileError(
                f"label-free editor: no training face is labelled for all of {', '.join(self.aus)}"
            )
        copied = _evenly(labelled, self.options.faces)
        z = data.train.codes.z.float()
        resting = _resting_codes(z, self.neutralizer_, data.train.subjects)[copied]
        faces = z[copied]
        with progress("neutralize training faces", len(faces), "faces") as advance:
            neutral = torch.cat([self._neutral(part, advance) for part in faces.split(_BATCH)])
        with torch.inference_mode():
            features = self.neutralizer_.eval().expression_features(faces)
        with progress("train extractor and interpolator", self.options.steps, "steps") as advance:
            self.extractor_, self.interpolator_ = LabelFreeTraining(
                self.options, generator.device
            ).run(faces, neutral, resting, features.clone(), advance)
        self.extractor_.cpu()
        self.interpolator_.cpu()
        self.expressions_ = self.extractor_(faces, neutral)
        self.levels_ = torch.from_numpy(np.nan_to_num(data.train.aus[copied])).float()
        self.metrics_ = self._measure(data)
        return self

    def edit_codes(self, codes: Codes, change: Change) -> Codes:
        """Codes of the neutralized faces with the expressions to copy."""
        device = codes.z.device
        neutral = self._neutral(codes.z)
        if change.references is not None:
            face = change.references.codes.z.cpu().float()
            expression = self.extractor_(face, self._neutral(face))
        else:
            expression = self._nearest(change.absolute.cpu().float())
        return codes.replace_z(self._combine(neutral, expression).to(device))

    def entailed(self, au: str) -> tuple[str, ...]:
        """AUs that the causal graph declares as effects of `au`."""
        return self.entails_[au]

    def metrics(self) -> dict[str, Any]:
        """Errors on validation faces, as shares of ‖Δ*‖²: of Δ, and of the restored code,
        Eq. (7)."""
        return self.metrics_

    def report(self) -> pd.DataFrame:
        """How many training faces show each AU, and how strongly at most."""
        levels = self.levels_[:, self._columns()].numpy()
        return pd.DataFrame(
            {
                "AU": self.aus,
                "faces to copy": (levels >= ACTIVE_THRESHOLD).sum(axis=0),
                "strongest": levels.max(axis=0),
            }
        )

    def save(self, folder: Path) -> None:
        """Write networks, neutralizer and the expressions to copy as one safetensors file."""
        tensors = {
            f"{part}.{name}": value
            for part, network in self._networks().items()
            for name, value in network.state_dict().items()
        }
        tensors |= {"expressions": self.expressions_.half(), "levels": self.levels_}
        config = {
            "options": self.options.model_dump(),
            "neutralizer": self.neutralizer_.config,
            "aus": self.aus,
            "entails": self.entails_,
            "metrics": self.metrics_,
        }
        contiguous = {name: value.cpu().contiguous() for name, value in tensors.items()}
        save_file(contiguous, folder / self.file, {"config": json.dumps(config)})
        self.expressions_ = tensors["expressions"].float()
        self.digest = file_md5(folder / self.file)

    @classmethod
    def load(cls, folder: Path) -> Self:
        path = folder / cls.file
        try:
            with safe_open(str(path), "pt") as file:
                config = json.loads(file.metadata()["config"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            editor = cls(LabelFreeOptions(**config["options"]))
            editor.neutralizer_ = Neutralizer(**config["neutralizer"]).eval()
            width = editor.options.width
            editor.extractor_ = Extractor(editor.z_dim, width).eval().requires_grad_(False)
            editor.interpolator_ = Interpolator(editor.z_dim, width).eval().requires_grad_(False)
            for part, network in editor._networks().items():
                prefix = f"{part}."
                network.load_state_dict(
                    {
                        name.removeprefix(prefix): value
                        for name, value in tensors.items()
                        if name.startswith(prefix)
                    }
                )
            editor.expressions_ = tensors["expressions"].float()
            editor.levels_ = tensors["levels"]
            editor.aus = tuple(config["aus"])
            editor.entails_ = {au: tuple(others) for au, others in config["entails"].items()}
            editor.metrics_ = config["metrics"]
        except Exception as error:  # safetensors raises its own untyped errors
            raise FacsimileError(f"{path}: not a label-free editor ({error})") from error
        editor.digest = file_md5(path)
        return editor

    def _networks(self) -> dict[str, torch.nn.Module]:
        return {
            "neutralizer": self.neutralizer_,
            "extractor": self.extractor_,
            "interpolator": self.interpolator_,
        }

    def _columns(self) -> list[int]:
        return [AUS.index(au) for au in self.aus]

    def _neutral(self, z: Tensor, advance: Callable[[int], None] = lambda count: None) -> Tensor:
        # Several edits of one face often come together, or one after the other.
        faces, rows = torch.unique(z.cpu(), dim=0, return_inverse=True)
        names = [face.numpy().tobytes() for face in faces]
        known = self._neutral_of
        if new := [row for row, name in enumerate(names) if name not in known]:
            with torch.enable_grad():
                neutral = torch.from_numpy(neutralize(self.neutralizer_, faces[new].numpy()).z)
            known = known | {names[row]: code for row, code in zip(new, neutral, strict=True)}
            self._neutral_of = dict(list(known.items())[-_REMEMBERED:])
        advance(len(z))
        return torch.stack([known[name] for name in names])[rows]

    def _combine(self, neutral: Tensor, expression: Tensor) -> Tensor:
        if self.options.interpolate:
            return self.interpolator_(neutral, expression)
        return neutral + expression

    def _nearest(self, levels: Tensor) -> Tensor:
        """Expressions (N, D) of the training faces that come closest to levels (N, 12)."""
        left_out = [column for column in range(len(AUS)) if AUS[column] not in self.aus]
        if (levels[:, left_out] > 0).any():
            raise FacsimileError(f"editor {self.name} knows only {', '.join(self.aus)}")
        wanted, shown = levels[:, self._columns()], self.levels_[:, self._columns()]
        product, power = wanted @ shown.T, shown.square().sum(1)
        alpha = (product / power.clamp_min(1e-6)).clamp(0, 1)
        # ‖α shown − wanted‖² without what is the same for all training faces
        best = (alpha.square() * power - 2 * alpha * product).argmin(1)
        rows = torch.arange(len(levels))
        return alpha[rows, best][:, None] * self.expressions_[best]

    def _measure(self, data: EditorData) -> dict[str, float]:
        z = data.val.codes.z.float()
        rows = _evenly(np.arange(len(z)), _BATCH)
        resting = _resting_codes(z, self.neutralizer_, data.val.subjects)[rows]
        faces = z[rows]
        shown = faces - resting
        expression = self.extractor_(faces, self._neutral(faces))
        restored = self._combine(resting, expression)
        return {
            "expression_error": float((expression - shown).square().sum() / shown.square().sum()),
            "restoration_error": float((restored - faces).square().sum() / shown.square().sum()),
        }


def _resting_codes(z: Tensor, model: Neutralizer, subjects: np.ndarray) -> Tensor:
    """Mean code (N, D) of the least active frames of each face's person."""
    activity = pd.Series(model.predict(z.numpy()).clip(min=0).sum(axis=1))
    rank = activity.groupby(subjects).rank(method="first", pct=True)
    first = activity.groupby(subjects).rank(method="first") == 1
    codes = pd.DataFrame(z.numpy(), copy=True)
    codes.loc[~((rank <= _RESTING) | first).to_numpy()] = np.nan
    means = codes.groupby(subjects).transform("mean")
    return torch.tensor(means.to_numpy(np.float32))


def _evenly(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the rows, evenly spaced."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))]
