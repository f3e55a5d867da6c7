"""Linear editors for comparison: the ablation of the source, and its hyperparameters.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", Fig. 12 and Table I
(Base, Cond., AU Proj., Cond. + Proj.) and IV-A. They are fitted on the same faces as the default
editor.
"""

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from facsimile.editing.base import EditorData, Progress, no_progress
from facsimile.editing.calibration import ImageCalibration, stretch
from facsimile.editing.directions import Directions
from facsimile.editing.linear_editor import LinearEditor, fit_known
from facsimile.editor_options import LinearOptions
from facsimile.errors import FacsimileError
from facsimile.generator.base import Generator


@dataclass(frozen=True)
class Variant:
    """How a linear editor differs from given options.

    Attributes:
        change: options that differ.
        off_other_aus: project each AU off the directions of all other AUs.
    """

    change: Mapping[str, object]
    off_other_aus: bool = False


VARIANTS: dict[str, Variant] = {
    "base": Variant({"condition": False, "project": ()}),
    "au-projected": Variant({"condition": False, "project": ()}, off_other_aus=True),
    "conditioned": Variant({"condition": True, "project": ()}),
    "conditioned+projected": Variant({"condition": True}),
    "plain": Variant(
        {"model": "combined", "alpha": 10.0, "condition": True, "within_subject": False}
    ),
}
"""Name → variant. All but the last differ only in conditioning and projection; ``plain`` has the
hyperparameters of the source, with one intercept for all people. The source scales its edits so
that 1 is about FACS level E, but does not say how: all variants are scaled on decoded faces."""


def fit_variants(
    data: EditorData,
    generator: Generator,
    options: LinearOptions,
    progress: Progress = no_progress,
    names: Collection[str] = tuple(VARIANTS),
) -> dict[str, LinearEditor]:
    """Fit variants and stretch them on decoded faces with one reader.

    Edits of an AU are measured at the same step lengths with all variants, those of the first
    variant, because the lengths that codes alone suggest differ by much. Warns of variants that
    these faces do not allow to fit, and leaves them out.

    Args:
        data: faces to fit and calibrate on.
        generator: generator of the codes.
        options: options of the default editor, from which the variants differ. `project` names the
            nuisances of those that are projected.
        progress: shows the epochs of the reader.
        names: variants to fit.

    Raises:
        FacsimileError: there are no neutral validation faces.
    """
    calibration = ImageCalibration.fit(data, generator, options, progress)
    lengths: pd.Series | None = None
    editors = {}
    with progress("fit editors to compare", len(names), "editors") as advance:
        for name, variant in VARIANTS.items():
            if name not in names and lengths is not None:
                continue
            changed = options.model_copy(update=variant.change)
            try:
                directions = fit_known(data, changed, variant.off_other_aus)
            except FacsimileError as error:
                warnings.warn(f"editor {name} is not compared: {error}", stacklevel=2)
                continue
            own = _lengths(directions)
            lengths = own if lengths is None else lengths
            if name in names:
                directions = stretch(directions, (lengths / own).fillna(1.0))
                _, scales = calibration.measure(directions)
                editors[name] = LinearEditor.from_directions(stretch(directions, scales))
                advance(1)
    return editors


def _lengths(directions: Directions) -> pd.Series:
    """Length of each AU's direction."""
    return pd.Series({au: np.linalg.norm(directions.vector(au)) for au in directions.aus})
