"""Latent edit directions: conditioned on co-active AUs, projected off nuisances, calibrated.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", III-A and IV-A;
projection as in InterFaceGAN. ``z + s·w_k`` raises AU k by s; s = 1 is FACS level E.

    fit          w_k = ridge or SVM normal on z, with the labels of the adjustment set A_k as
                 additional regressors; ``combined`` adds the two unit vectors
    project      w_k ← w_k − Q Qᵀ w_k
    calibrate    w_k ← (ŵ_k · f_k) ŵ_k with f_k the effect of AU k on z (regression.py);
                 then on decoded images (calibration.py)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from facsimile.editing.base import AnnotatedFaces
from facsimile.editing.causal_graph import CausalGraph
from facsimile.editing.regression import (
    companions,
    conditional_ridge,
    conditional_svm,
    effects,
    orthonormal_basis,
    project_off,
    readout_correlation,
)
from facsimile.editor_options import LinearOptions
from facsimile.errors import FacsimileError
from facsimile.faces.aus import ACTIVE_THRESHOLD, AUS, NUISANCES
from facsimile.faces.tables import atomic_file

DIRECTION_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("kind", pa.string()),
        ("method", pa.string()),
        ("vector", pa.list_(pa.float32())),
        ("conditioned_on", pa.list_(pa.string())),
        ("projected_off", pa.list_(pa.string())),
        ("entails", pa.list_(pa.string())),
        ("norm_before", pa.float32()),
        ("norm_after", pa.float32()),
        ("length", pa.float32()),
        ("image_scale", pa.float32()),
        ("pearson", pa.float32()),
    ]
)


@dataclass(frozen=True)
class Directions:
    """Calibrated directions, one per row of `table`: first the AUs, then the nuisances.

    Columns of the table:
        name, kind ("au" or "nuisance"), method;
        vector: w (D,) in normalised z;
        conditioned_on, projected_off: names;
        entails: AUs that the causal graph declares as effects of this one. An edit changes them by
            an unknown amount, so it cannot label them;
        norm_before, norm_after: length of w before and after projection, both before calibration;
        length: ``||w||`` in units of the normalised z;
        image_scale: factor applied by calibration on images; 1 without it;
        pearson: correlation of ridge prediction and label on subjects not used in the fit; of
            differences within subjects if directions were fitted with one intercept per subject.
    """

    table: pd.DataFrame

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.table["name"])

    @property
    def aus(self) -> tuple[str, ...]:
        return tuple(self.table.loc[self.table["kind"] == "au", "name"])

    @property
    def vectors(self) -> np.ndarray:
        """(K, D) float32."""
        return np.stack(self.table["vector"].to_numpy())

    def vector(self, name: str) -> np.ndarray:
        """w of one direction, (D,) float32."""
        if name not in self.names:
            raise FacsimileError(f"no direction {name!r}; there are {', '.join(self.names)}")
        return self.vectors[self.names.index(name)]

    def add_to(self, z: Tensor, intensities: Mapping[str, float | np.ndarray | Tensor]) -> Tensor:
        """``z + Σ_k s_k w_k``.

        Args:
            z: (N, D).
            intensities: AU → s_k, one number for all faces or one per face (N,).

        Returns:
            (N, D) on the device of z.
        """
        for au, intensity in intensities.items():
            w = torch.from_numpy(self.vector(au)).to(z)
            s = torch.as_tensor(intensity, dtype=z.dtype, device=z.device).reshape(-1, 1)
            z = z + s * w
        return z

    def entailed(self, au: str) -> tuple[str, ...]:
        """AUs whose intensity is unknown after an edit of `au`."""
        return tuple(self.table["entails"].iloc[self.names.index(au)])

    def cosines(self) -> pd.DataFrame:
        """Cosine similarity of every pair of directions."""
        unit = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        return pd.DataFrame(unit @ unit.T, index=list(self.names), columns=list(self.names))

    def save(self, path: str | Path) -> None:
        """Write the table as one Parquet file, atomically."""
        table = pa.Table.from_pandas(self.table, DIRECTION_SCHEMA, preserve_index=False)
        with atomic_file(Path(path)) as temporary:
            pq.write_table(table, temporary)

    @classmethod
    def load(cls, path: str | Path) -> "Directions":
        """Read what `save` wrote. Raises FacsimileError if the file is not readable."""
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise FacsimileError(f"{path}: not a readable directions file ({error})") from error
        missing = set(DIRECTION_SCHEMA.names) - set(table.column_names)
        if missing:
            raise FacsimileError(f"{path}: missing column {', '.join(sorted(missing))}")
        return cls(table.to_pandas())


def fit_directions(
    train: AnnotatedFaces,
    attributes: AnnotatedFaces | None,
    graph: CausalGraph,
    options: LinearOptions,
    off_other_aus: bool = False,
) -> Directions:
    """Fit one direction for every annotated AU and every labelled nuisance.

    Args:
        train: AU-labelled faces.
        attributes: faces with nuisance labels. Attributes with two values are fitted by a linear
            SVM, others by ridge regression.
        graph: gives the adjustment set of each AU among those annotated on the same faces.
        options: options of the fit; `calibration` is not used here.
        off_other_aus: project each AU off the directions of all other AUs as well ("AU Proj." in
            Fig. 12).

    Raises:
        FacsimileError: an AU has no active or no inactive face, a nuisance in `project` has no
            labels, a projection removes all of an AU's direction, or `within_subject` is set but
            no subject has two faces.
    """
    z, aus = np.asarray(train.codes.z, np.float64), np.asarray(train.aus, np.float64)
    annotated = tuple(au for au, y in zip(AUS, aus.T, strict=True) if not np.isnan(y).all())
    if not annotated:
        raise FacsimileError("no face has an AU label, so no direction can be fitted")
    labels = aus[:, [AUS.index(au) for au in annotated]]
    subjects = np.asarray(train.subjects)
    if options.within_subject and len(np.unique(subjects)) == len(subjects):
        raise FacsimileError("every subject has only one face; set within_subject to false")

    nuisance_rows = [] if attributes is None else _fit_nuisances(attributes, options)
    nuisance_vectors = {row["name"]: row["vector"] for row in nuisance_rows}
    for name in options.project:
        if name not in nuisance_vectors:
            raise FacsimileError(f"cannot project off {name!r}: no face is labelled for it")

    has_label = ~np.isnan(labels)
    conditioned_on = {}
    for column, au in enumerate(annotated):
        others = [annotated[other] for other in companions(has_label, column)]
        conditioned_on[au] = graph.adjustment_set(au, others) if options.condition else ()
    unprojected = {}
    for column, au in enumerate(annotated):
        adjust = [annotated.index(other) for other in conditioned_on[au]]
        rows = has_label[:, [column, *adjust]].all(axis=1)
        y, y_adjust = labels[rows, column], labels[np.ix_(rows, adjust)]
        intercepts = subjects[rows] if options.within_subject else None
        unprojected[au] = _fit_au(au, z[rows], y, y_adjust, intercepts, options)
    au_effects = effects(z, labels, subjects if options.within_subject else None)
    pearson = readout_correlation(z, labels, subjects, options.alpha, options.within_subject)

    entails = graph.entailments(annotated)
    au_rows = []
    projected_off = [nuisance_vectors[name] for name in options.project]
    for index, au in enumerate(annotated):
        w = unprojected[au]
        others = [other for other in annotated if other != au] if off_other_aus else []
        off = [*projected_off, *(unprojected[other] for other in others)]
        if off:
            w = project_off(w, orthonormal_basis(np.stack(off)))
        au_rows.append(
            _row(au, "au", options.model, w, au_effects[index], pearson[index])
            | {
                "conditioned_on": list(conditioned_on[au]),
                "projected_off": [*options.project, *others],
                "entails": list(entails[au]),
                "norm_before": np.linalg.norm(unprojected[au]),
                "norm_after": np.linalg.norm(w),
            }
        )
    return Directions(pd.DataFrame(au_rows + nuisance_rows)[DIRECTION_SCHEMA.names])


def _fit_au(
    au: str,
    z: np.ndarray,
    y: np.ndarray,
    conditioned_on: np.ndarray,
    intercepts: np.ndarray | None,
    options: LinearOptions,
) -> np.ndarray:
    """w (D,) before projection and calibration: a unit vector, or for "combined" the sum of two."""
    active = y >= ACTIVE_THRESHOLD
    if active.all() or not active.any():
        raise FacsimileError(
            f"{au}: {active.sum()} of {len(y)} annotated faces are active; "
            "a direction needs both active and inactive faces"
        )
    parts = []
    if options.model in ("ridge", "combined"):
        parts.append(conditional_ridge(z, y, conditioned_on, options.alpha, intercepts))
    if options.model in ("svm", "combined"):
        parts.append(conditional_svm(z, active, conditioned_on, intercepts, options.seed))
    if not all(part.any() for part in parts):
        raise FacsimileError(
            f"{au}: its intensity does not vary within any person; label more faces, or set "
            "within_subject to false"
        )
    return sum(part / np.linalg.norm(part) for part in parts)


def _fit_nuisances(faces: AnnotatedFaces, options: LinearOptions) -> list[dict[str, object]]:
    """Rows of the labelled nuisances."""
    z = np.asarray(faces.codes.z, np.float64)
    labels = np.asarray(faces.nuisances, np.float64)
    subjects, alpha = np.asarray(faces.subjects), options.alpha
    labelled = [index for index in range(len(NUISANCES)) if not np.isnan(labels[:, index]).all()]
    names = tuple(NUISANCES[index] for index in labelled)
    nuisance_effects = effects(z, labels[:, labelled], None)
    pearson = readout_correlation(z, labels[:, labelled], subjects, alpha)
    rows = []
    for index, name in enumerate(names):
        y = labels[:, labelled[index]]
        annotated = ~np.isnan(y)
        binary = np.unique(y[annotated]).size == 2
        nothing = np.empty((annotated.sum(), 0))
        if binary:
            w = conditional_svm(z[annotated], y[annotated] > 0.5, nothing, seed=options.seed)
        else:
            w = conditional_ridge(z[annotated], y[annotated], nothing, alpha)
        norm = np.linalg.norm(w)
        rows.append(
            _row(
                name,
                "nuisance",
                "svm" if binary else "ridge",
                w / norm,
                nuisance_effects[index],
                pearson[index],
            )
            | {"conditioned_on": [], "projected_off": [], "entails": []}
            | {"norm_before": 1.0, "norm_after": 1.0}
        )
    return rows


def _row(
    name: str, kind: str, method: str, w: np.ndarray, effect: np.ndarray, pearson: float
) -> dict[str, object]:
    """Row of a direction, w scaled to the length of the effect of one unit along it."""
    unit = w / max(np.linalg.norm(w), 1e-12)
    length = unit @ effect
    if length <= 1e-3 * np.linalg.norm(effect):
        raise FacsimileError(
            f"{name}: its direction does not agree with how real faces change when it rises; "
            "project off fewer attributes or label more active faces"
        )
    return {
        "name": name,
        "kind": kind,
        "method": method,
        "vector": (length * unit).astype(np.float32),
        "length": length,
        "image_scale": 1.0,
        "pearson": pearson,
    }
