"""Editors of pictures by a generative adversarial network: `relative` and `absolute`.

Sources: Ling, Xue, Song, Yang, Xie, Gu, "Toward Fine-grained Facial Expression Manipulation", ECCV
2020, and its baseline: Pumarola, Agudo, Martinez, Sanfeliu, Moreno-Noguer, "GANimation", ECCV 2018.

    v_rel   = v_tgt - v_src                              (1)
    x'      = G(x, v_rel)                                relative
    x'      = A * x + (1 - A) * C,  A, C = G(x, v_tgt)   absolute
    v_inter = v_1 + α (v_2 - v_1) - v_src                (2)

picture_gan.py holds the networks and picture_gan_training.py their training; both say what differs
from the papers. Both editors learn from the annotated training faces only. The unannotated faces
are left out, because Eq. 5 to 7 need v_src.

After minutes on a CPU core, much of an edit is a fine pattern that regressors read as the AU, and
not the expression. Readings of edited faces alone do not tell both apart; compare pictures too.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from facsimile.digests import file_md5
from facsimile.editing.base import (
    Change,
    Condition,
    EditorData,
    PictureEditor,
    Progress,
    no_progress,
    refuse_references,
)
from facsimile.editing.picture_gan import Critic, EditingNetwork
from facsimile.editing.picture_gan_training import PictureGANTraining, draw_targets
from facsimile.editor_options import AbsoluteOptions, PictureGANOptions, RelativeOptions
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import to_tensor
from facsimile.files import to_json
from facsimile.generator.base import Generator
from facsimile.measurement import pearson_per_au
from facsimile.measurement.metrics import mean_defined

_BATCH = 64


class PictureGANEditor(PictureEditor):
    """What both editors share; an `Editor`.

    Args:
        options: options of the training.

    Attributes:
        network_: the generator G; only G is saved.
        quality_: results of `metrics`.
        readings_: per AU, correlation and error of D_cond on validation people.
    """

    file: ClassVar[str] = "network.safetensors"
    defaults: ClassVar[PictureGANOptions]
    relative: ClassVar[bool]

    def __init__(self, options: PictureGANOptions | None = None) -> None:
        self.options = options or self.defaults
        self.digest: str | None = None
        self.aus: tuple[str, ...] = ()
        self.network_: EditingNetwork | None = None
        self.entails_: dict[str, tuple[str, ...]] = {}
        self.quality_: dict[str, float] = {}
        self.readings_ = pd.DataFrame()

    @property
    def image_size(self) -> int:
        return self.network_.config["image_size"]

    def fit(self, data: EditorData, generator: Generator, progress: Progress = no_progress) -> Self:
        """Train G and D on training faces, then measure both on validation faces.

        Raises:
            FacsimileError: there is no AU to learn, or the pictures cannot be halved often enough.
        """
        if not data.aus:
            raise FacsimileError(f"editor {self.name}: no AU has enough labels to learn")
        self.aus = data.aus
        self.entails_ = data.graph.entailments(data.aus)
        training = PictureGANTraining(
            self.options, self.relative, attention=not self.relative, device=generator.device
        )
        with progress(self.name, self.options.steps, "steps") as advance:
            self.network_, critic = training.run(
                data.train.read_images(), data.train.aus[:, self._columns], advance
            )
        # The file holds float16. Rounded here too, so that a loaded editor edits alike.
        self.network_.half().float()
        self._measure(data, critic, training.condition)
        return self

    @torch.inference_mode()
    def _measure(
        self, data: EditorData, critic: Critic, condition: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        """Measure D_cond, and G with targets like those of the training, on validation faces."""
        device = next(critic.parameters()).device
        labels = torch.from_numpy(data.val.aus[:, self._columns].astype(np.float32))
        draws = torch.Generator().manual_seed(self.options.seed)
        targets = draw_targets(labels, labels, draws)
        images = data.val.read_images()
        results = []
        for start in range(0, len(images), _BATCH):
            rows = slice(start, start + _BATCH)
            faces = to_tensor(images[rows], device)
            source, target = labels[rows].to(device), targets[rows].to(device)
            edited, _ = self.network_(faces, condition(source, target))
            same, _ = self.network_(faces, condition(source, source))
            cycle, _ = self.network_(edited, condition(target, source))
            distances = [(x - faces).abs().mean((1, 2, 3))[:, None] for x in (same, cycle)]
            results.append([critic(faces)[1], critic(edited)[1], *distances])
        parts = [torch.cat(part).cpu().numpy() for part in zip(*results, strict=True)]
        real, fake, same, cycle = parts or 4 * [np.empty((0, len(self.aus)))]
        self.readings_ = pd.DataFrame(
            {
                "AU": self.aus,
                "r on unseen people": pearson_per_au(labels.numpy(), real),
                "error on unseen people": [
                    mean_defined(errors) for errors in np.abs(real - labels.numpy()).T
                ],
                "error of edits": [
                    mean_defined(errors) for errors in np.abs(fake - targets.numpy()).T
                ],
            }
        )
        self.quality_ = {
            "reading_pearson": mean_defined(self.readings_["r on unseen people"]),
            "reading_error": mean_defined(self.readings_["error on unseen people"]),
            "edit_error": mean_defined(self.readings_["error of edits"]),
            "reconstruction_l1": mean_defined(same),
            "cycle_l1": mean_defined(cycle),
        }

    @torch.no_grad()
    def edit_pictures(self, images: Tensor, change: Change) -> Tensor:
        """x' for pictures on any device; rises are clipped to [-1, 1], levels to [0, 1]."""
        refuse_references(self.name, change)
        for au, rise in zip(AUS, change.relative.T, strict=True):
            if au not in self.aus and rise.any():
                raise FacsimileError(
                    f"editor {self.name} cannot edit {au}, only {', '.join(self.aus)}"
                )
        condition = change.relative if self.relative else change.absolute
        condition = condition[:, self._columns].nan_to_num(nan=0.0)
        condition = condition.clamp(-1 if self.relative else 0, 1)
        network = self.network_.to(images.device)
        return network(images.float(), condition.to(images))[0]

    @property
    def _columns(self) -> list[int]:
        return [AUS.index(au) for au in self.aus]

    def entailed(self, au: str) -> tuple[str, ...]:
        """Editable AUs that the causal graph declares as effects of `au`."""
        return self.entails_[au]

    def metrics(self) -> dict[str, Any]:
        """On validation people: correlation and absolute error of D_cond, its error on edited
        pictures, and mean absolute differences, in units of [-1, 1], after an edit to the source's
        own levels and after an edit there and back. Targets are drawn as for the training."""
        return dict(self.quality_)

    def report(self) -> pd.DataFrame:
        """Readings of D_cond on validation people. Editing is learnt only as far as it reads."""
        return self.readings_

    def save(self, folder: Path) -> None:
        """Write G in float16, with its configuration in the header."""
        header = {
            "network": self.network_.config,
            "aus": self.aus,
            "entails": self.entails_,
            "quality": to_json(self.quality_),
            "readings": to_json(self.readings_.to_dict("list")),
        }
        weights = {
            key: value.half().cpu().contiguous()
            for key, value in self.network_.state_dict().items()
        }
        save_file(weights, folder / self.file, metadata={"config": json.dumps(header)})
        self.digest = file_md5(folder / self.file)

    @classmethod
    def load(cls, folder: Path) -> Self:
        path = folder / cls.file
        editor = cls()
        try:
            with safe_open(str(path), "pt") as file:
                header = json.loads(file.metadata()["config"])
            editor.aus = tuple(header["aus"])
            editor.entails_ = {au: tuple(header["entails"][au]) for au in editor.aus}
            editor.quality_, editor.readings_ = header["quality"], pd.DataFrame(header["readings"])
            editor.network_ = EditingNetwork(**header["network"])
            editor.network_.load_state_dict(load_file(path))
        except Exception as error:  # safetensors raises its own untyped errors
            raise FacsimileError(
                f"{path}: not a network of the editor {cls.name} ({error})"
            ) from error
        editor.network_.eval()
        editor.digest = file_md5(path)
        return editor


class RelativeEditor(PictureGANEditor):
    """Conditioned on relative AUs (Eq. 1); see the head of the module."""

    name: ClassVar[str] = "relative"
    takes: ClassVar[tuple[Condition, ...]] = ("relative",)
    needs_source: ClassVar[bool] = True
    defaults: ClassVar[PictureGANOptions] = RelativeOptions()
    relative: ClassVar[bool] = True


class AbsoluteEditor(PictureGANEditor):
    """GANimation: conditioned on absolute AUs, blends by an attention mask A."""

    name: ClassVar[str] = "absolute"
    takes: ClassVar[tuple[Condition, ...]] = ("absolute",)
    needs_source: ClassVar[bool] = False
    defaults: ClassVar[PictureGANOptions] = AbsoluteOptions()
    relative: ClassVar[bool] = False


def interpolate(source: Tensor, first: Tensor, second: Tensor, share: float) -> Change:
    """The change of faces to an expression between two others (Eq. 2).

    Args:
        source, first, second: AU levels of the faces and of both expressions (N, 12); NaN in either
            expression leaves an AU as it is.
        share: α in [0, 1], 0 = first.

    Raises:
        FacsimileError: `share` is not in [0, 1].
    """
    if not 0 <= share <= 1:
        raise FacsimileError(f"share {share} of the second expression is not between 0 and 1")
    return Change(source, first + share * (second - first))
