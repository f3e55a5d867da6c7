"""The linear editor: one latent direction for each AU, ``z ← z + Σ_k s_k w_k``.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", III-A. Directions are
fitted on training faces (directions.py) and calibrated on decoded validation faces
(calibration.py).
"""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from torch import Tensor

from facsimile.detection import LabelledFaces, OracleTraining
from facsimile.digests import file_md5
from facsimile.editing.base import EditorData, Progress, Targets, no_progress
from facsimile.editing.calibration import (
    crosstalk,
    edited_rise,
    image_scales,
    real_rise,
    stretch,
    unmix,
)
from facsimile.editing.directions import Directions, fit_directions
from facsimile.editor_options import LinearOptions
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import evenly_spaced
from facsimile.generator.base import Codes, Generator
from facsimile.measurement import pearson_per_au

RISES_FILE = "rises.parquet"
_DEFAULTS = LinearOptions()


class LinearEditor:
    """Adds calibrated directions to codes; an `Editor`.

    Args:
        options: of the fit.

    Attributes:
        directions_: the calibrated directions.
        rises_: what edits of growing length did to readings of all AUs, see
            `calibration.edited_rise`; None for a loaded editor.
        crosstalk_: what `calibration.unmix` took out of the directions; None for a loaded editor.
    """

    name: ClassVar[str] = "linear"
    file: ClassVar[str] = "directions.parquet"
    targets: ClassVar[Targets] = "relative"

    def __init__(self, options: LinearOptions = _DEFAULTS) -> None:
        self.options = options
        self.digest: str | None = None
        self.directions_: Directions | None = None
        self.rises_: pd.DataFrame | None = None
        self.crosstalk_: pd.DataFrame | None = None

    @classmethod
    def from_directions(cls, directions: Directions) -> Self:
        """An editor of directions that are calibrated already."""
        editor = cls()
        editor.directions_ = directions
        return editor

    @property
    def aus(self) -> tuple[str, ...]:
        return self.directions_.aus

    @property
    def z_dim(self) -> int:
        return self.directions_.vectors.shape[1]

    def fit(self, data: EditorData, generator: Generator, progress: Progress = no_progress) -> Self:
        """Fit directions on the training faces, and scale them by what edits look like.

        An AU estimator trained on the training faces reads validation faces, real and edited. It
        has the network of the oracle, whose readings keep rising where edits exceed real faces;
        those of a detector do not.
        """
        if not len(data.neutral):
            raise FacsimileError(
                "params.yaml: encode.neutral_per_subject.val is 0, but directions are calibrated "
                "on inverted faces of the validation split"
            )
        aus = self._fittable(data)
        labels = np.where(np.isin(AUS, aus), data.train.aus, np.nan)
        fitted = fit_directions(
            replace(data.train, aus=labels), data.attributes, data.graph, self.options
        )

        calibration = self.options.calibration
        images, val_aus = data.val.read_images(), data.val.aus.astype(np.float32)
        training = OracleTraining(
            self.options.seed, calibration.epochs, device=str(generator.device)
        )
        train = LabelledFaces(
            data.train.read_images(), data.train.aus.astype(np.float32), data.train.subjects
        )
        with progress("train the reader", calibration.epochs, "epochs") as advance:
            reader = training.fit(
                train, LabelledFaces(images, val_aus), on_epoch=lambda _: advance(1)
            )
        real = real_rise(images, val_aus, data.val.subjects, reader.aus)
        trust = pearson_per_au(val_aus, reader.aus(images))
        rows = evenly_spaced(pd.DataFrame(index=range(len(data.neutral))), calibration.faces).index
        examples = data.neutral[rows.to_list()]
        self.rises_ = edited_rise(fitted, generator, examples, reader.aus, calibration.scales)
        scales = image_scales(self.rises_, np.diag(real))
        self.crosstalk_ = crosstalk(self.rises_, scales, real, trust, fitted)
        self.directions_ = unmix(stretch(fitted, scales), self.crosstalk_)
        return self

    def _fittable(self, data: EditorData) -> tuple[str, ...]:
        """AUs to fit; with intercepts per subject, those that vary within one. Warns of others."""
        if not self.options.within_subject:
            return data.aus
        labels = pd.DataFrame(data.train.aus, columns=list(AUS))
        varies = labels.groupby(data.train.subjects)[list(data.aus)].nunique().gt(1).any()
        kept = tuple(au for au in data.aus if varies[au])
        if not kept:
            raise FacsimileError(
                "params.yaml: editor.linear.within_subject is true, but no person shows an AU more "
                "on one face than on another; set it to false"
            )
        if left_out := [au for au in data.aus if au not in kept]:
            warnings.warn(
                f"edits {', '.join(kept)}; left out {', '.join(left_out)}: no person shows it more "
                "on one face than on another",
                stacklevel=3,
            )
        return kept

    def edit(self, codes: Codes, targets: Tensor) -> Codes:
        """Add ``Σ_k s_k w_k`` to codes; s = 1 is FACS level E above the face's own level."""
        shown = {au: s for au, s in zip(AUS, targets.T, strict=True) if s.any()}
        return codes.replace_z(self.directions_.add_to(codes.z, shown))

    def entailed(self, au: str) -> tuple[str, ...]:
        """AUs that an edit moves as well by the declared causes: a dropping jaw parts the lips."""
        return self.directions_.entailed(au)

    def metrics(self) -> dict[str, Any]:
        """Means over AUs of the columns of `Directions`, crosstalk, and cosines between AUs."""
        table = self.directions_.table
        own = table[table["kind"] == "au"]
        cosines = self.directions_.cosines().loc[list(self.aus), list(self.aus)].to_numpy()
        others = np.abs(cosines[~np.eye(len(cosines), dtype=bool)])
        shares = self.crosstalk_
        return {
            "pearson": float(own["pearson"].mean()),
            "length": float(own["length"].mean()),
            "image_scale": float(own["image_scale"].mean()),
            "crosstalk": float(shares.abs().to_numpy().sum() / max(shares.size - len(shares), 1)),
            "kept_by_projection": float((own["norm_after"] / own["norm_before"]).mean()),
            "cosine": float(others.mean()) if others.size else np.nan,
        }

    def report(self) -> pd.DataFrame:
        """What each direction is conditioned on and projected off, and how well it reads."""
        table = self.directions_.table
        own = table[table["kind"] == "au"]
        names = {
            title: [", ".join(values) or "nothing" for values in own[column]]
            for title, column in (
                ("conditioned on", "conditioned_on"),
                ("projected off", "projected_off"),
            )
        }
        return pd.DataFrame(
            {"AU": own["name"], **names, "r on unseen people": own["pearson"]}
        ).reset_index(drop=True)

    def save(self, folder: Path) -> None:
        """Write the directions and, after `fit`, the measured rises."""
        self.directions_.save(folder / self.file)
        if self.rises_ is not None:
            self.rises_.reset_index().to_parquet(folder / RISES_FILE, index=False)
        self.digest = file_md5(folder / self.file)

    @classmethod
    def load(cls, folder: Path) -> Self:
        path = folder / cls.file
        editor = cls.from_directions(Directions.load(path))
        editor.digest = file_md5(path)
        return editor
