"""The linear editor: one latent direction per AU, ``z ← z + Σ_k s_k w_k``.

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

from facsimile.digests import file_md5
from facsimile.editing.base import (
    Change,
    CodeEditor,
    Condition,
    EditorData,
    Progress,
    no_progress,
    refuse_references,
)
from facsimile.editing.calibration import ImageCalibration, stretch, unmix
from facsimile.editing.directions import Directions, fit_directions
from facsimile.editor_options import LinearOptions
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.generator.base import Codes, Generator

RISES_FILE = "rises.parquet"
_DEFAULTS = LinearOptions()


class LinearEditor(CodeEditor):
    """Adds calibrated directions to codes; an `Editor`.

    Args:
        options: options of the fit.

    Attributes:
        directions_: the calibrated directions.
        rises_: rise of all AU readings by scale and edited AU (`calibration.edited_rises`); None
            for a loaded editor.
        crosstalk_: shares that `calibration.unmix` subtracted; None for a loaded editor.
    """

    name: ClassVar[str] = "linear"
    file: ClassVar[str] = "directions.parquet"
    takes: ClassVar[tuple[Condition, ...]] = ("relative",)
    needs_source: ClassVar[bool] = True

    def __init__(self, options: LinearOptions = _DEFAULTS) -> None:
        self.options = options
        self.digest: str | None = None
        self.directions_: Directions | None = None
        self.rises_: pd.DataFrame | None = None
        self.crosstalk_: pd.DataFrame | None = None

    @classmethod
    def from_directions(cls, directions: Directions) -> Self:
        """An editor with directions that are already calibrated."""
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
        """Fit directions on training faces, then calibrate them on decoded validation faces.

        The reader used for calibration is fitted on the training faces too.
        """
        fitted = fit_known(data, self.options)
        calibration = ImageCalibration.fit(data, generator, self.options, progress)
        self.rises_, scales = calibration.measure(fitted)
        self.crosstalk_ = calibration.crosstalk(fitted, self.rises_, scales)
        self.directions_ = unmix(stretch(fitted, scales), self.crosstalk_)
        return self

    def edit_codes(self, codes: Codes, change: Change) -> Codes:
        """Add ``Σ_k s_k w_k`` to codes; s = 1 raises an AU by FACS level E."""
        refuse_references(self.name, change)
        active = {au: s for au, s in zip(AUS, change.relative.T, strict=True) if s.any()}
        return codes.replace_z(self.directions_.add_to(codes.z, active))

    def entailed(self, au: str) -> tuple[str, ...]:
        """AUs that the causal graph declares as effects of `au`: a dropping jaw parts the lips."""
        return self.directions_.entailed(au)

    def metrics(self) -> dict[str, Any]:
        """Means over AUs: columns of `Directions`, crosstalk, and |cosine| with other AUs."""
        au_rows = self._au_rows()
        cosines = self.directions_.cosines().loc[list(self.aus), list(self.aus)].to_numpy()
        others = np.abs(cosines[~np.eye(len(cosines), dtype=bool)])
        shares = self.crosstalk_
        return {
            "pearson": float(au_rows["pearson"].mean()),
            "length": float(au_rows["length"].mean()),
            "image_scale": float(au_rows["image_scale"].mean()),
            "crosstalk": float(shares.abs().to_numpy().sum() / max(shares.size - len(shares), 1)),
            "kept_by_projection": float((au_rows["norm_after"] / au_rows["norm_before"]).mean()),
            "cosine": float(others.mean()) if others.size else np.nan,
        }

    def report(self) -> pd.DataFrame:
        """What each direction is conditioned on and projected off, and its correlation with labels
        of unseen people."""
        au_rows = self._au_rows()
        names = {
            title: [", ".join(values) or "nothing" for values in au_rows[column]]
            for title, column in (
                ("conditioned on", "conditioned_on"),
                ("projected off", "projected_off"),
            )
        }
        return pd.DataFrame(
            {"AU": au_rows["name"], **names, "r on unseen people": au_rows["pearson"]}
        ).reset_index(drop=True)

    def _au_rows(self) -> pd.DataFrame:
        table = self.directions_.table
        return table[table["kind"] == "au"]

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


def fit_known(data: EditorData, options: LinearOptions, off_other_aus: bool = False) -> Directions:
    """Fit directions of the AUs with enough labels; see `fit_directions`.

    With one intercept per subject, warns of AUs constant within every subject and leaves them out.

    Raises:
        FacsimileError: no AU is left.
    """
    aus = data.aus
    if options.within_subject:
        labels = pd.DataFrame(data.train.aus, columns=list(AUS))
        varies = labels.groupby(data.train.subjects)[list(data.aus)].nunique().gt(1).any()
        aus = tuple(au for au in data.aus if varies[au])
        if not aus:
            raise FacsimileError(
                "linear editor: option within_subject is true, but no AU varies within any person; "
                "set it to false"
            )
        if left_out := [au for au in data.aus if au not in aus]:
            warnings.warn(
                f"edits {', '.join(aus)}; skipped {', '.join(left_out)}: constant within every "
                "person",
                stacklevel=3,
            )
    labels = np.where(np.isin(AUS, aus), data.train.aus, np.nan)
    train = replace(data.train, aus=labels)
    return fit_directions(train, data.attributes, data.graph, options, off_other_aus)
