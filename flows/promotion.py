"""Decides whether the challenger replaces the champion, and records the decision."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from flows.model_registry import (
    CHALLENGER,
    CHAMPION,
    DECIDED_AT,
    DECISION,
    REFUSED,
    ROLLED_BACK,
    ModelRegistry,
    RegisteredVersion,
)
from flows.registered_model import RegisteredModel
from flows.registration import DATA, INGEST, VALIDATION, validation_faces
from flows.tracking import input_data
from tasks.provenance.dvc_files import locked_stages

if TYPE_CHECKING:
    from facsimile.detection.model_comparison import ModelComparison, PromotionRule


@dataclass(frozen=True)
class Decision:
    """What became of a challenger.

    Attributes:
        challenger: the version.
        champion: the champion that it was compared with; None if it was not compared.
        passed: whether it is the champion, or would be with `promote` instead of `judge`.
        reasons: why it was refused, one line each, or a single line that says why it passed.
        comparison: the test; None if there was none.
    """

    challenger: RegisteredVersion
    champion: RegisteredVersion | None
    passed: bool
    reasons: tuple[str, ...]
    comparison: "ModelComparison | None" = None


def judge(
    root: Path,
    rule: "PromotionRule",
    name: str = CHALLENGER,
    on_model: Callable[[str], None] = lambda text: None,
) -> Decision:
    """Compare a version with the champion, changing nothing.

    Args:
        root: project folder.
        rule: accepted losses.
        name: alias or number of the version.
        on_model: called with a description of what is done now.

    Raises:
        FacsimileError: there is no such version, a model cannot be loaded, or the MLflow store does
            not respond.
    """
    registry = ModelRegistry(root)
    challenger, champion = registry.require(name), registry.find(CHAMPION)
    if champion is None:
        return Decision(challenger, None, True, ("there is no champion yet",))
    if champion.number == challenger.number:
        return Decision(challenger, champion, True, ("it is the champion already",))
    if challenger.tags.get(DECISION) == ROLLED_BACK:
        when = challenger.tags.get(DECIDED_AT, "")
        reason = f"it was rolled back on {when}; --force promotes it all the same"
        return Decision(challenger, champion, False, (reason,))
    comparison = compare(registry, champion, challenger, rule, on_model)
    passed = not comparison.refusals
    reasons = (str(comparison),) if passed else comparison.refusals
    return Decision(challenger, champion, passed, reasons, comparison)


def promote(
    root: Path,
    rule: "PromotionRule",
    name: str = CHALLENGER,
    *,
    force: bool = False,
    on_model: Callable[[str], None] = lambda text: None,
) -> Decision:
    """Make a version the champion if it passes, and record the decision; see `judge`.

    Args:
        force: promote it without a test.
    """
    registry = ModelRegistry(root)
    if force:
        challenger = registry.require(name)
        decision = Decision(challenger, registry.find(CHAMPION), True, ("forced, without a test",))
    else:
        decision = judge(root, rule, name, on_model)
    apply(registry, decision)
    return decision


def apply(registry: ModelRegistry, decision: Decision) -> None:
    """Record a decision, and set the alias of a challenger that has passed."""
    if CHAMPION in decision.challenger.aliases:
        return
    reason = "; ".join(decision.reasons)
    if decision.passed:
        registry.set_champion(decision.challenger, reason)
    elif decision.challenger.tags.get(DECISION) != ROLLED_BACK:
        registry.record(decision.challenger, REFUSED, reason)


def compare(
    registry: ModelRegistry,
    champion: RegisteredVersion,
    challenger: RegisteredVersion,
    rule: "PromotionRule",
    on_model: Callable[[str], None],
) -> "ModelComparison":
    """Let both versions read the faces of the validation people, and compare their F1."""
    from facsimile.detection.model_comparison import compare_models

    detected = []
    for version in (champion, challenger):
        on_model(f"{version} reads the validation faces")
        detected.append(_detected(registry, version))
    labels, people = [], []
    for faces in validation_faces(registry.root):
        labels.append(faces[list(AUS)].to_numpy(float))
        people += faces["subject_id"].tolist()
    if not labels:
        raise FacsimileError("no validation faces to compare models on")
    return compare_models(np.concatenate(labels), people, *detected, rule)


def _detected(registry: ModelRegistry, version: RegisteredVersion) -> np.ndarray:
    """Detected presence (N, 12) on the validation faces, NaN for AUs that it has not learnt.

    Read from the run of the version if it was registered with the same faces.
    """
    ingested = input_data(locked_stages(registry.root).get("train", {})).get(INGEST.as_posix())
    if ingested and version.tags.get(f"{DATA}{INGEST.as_posix()}") == ingested:
        with tempfile.TemporaryDirectory() as folder:
            file = registry.use(
                lambda client: client.download_artifacts(version.run, VALIDATION, folder)
            )
            return pd.read_parquet(file).to_numpy(float)
    parts = []
    with RegisteredModel(version.uri, registry.environment) as model:
        for faces in validation_faces(registry.root):
            table = model.predict([image["bytes"] for image in faces["image"]])
            failed = table["error"].dropna()
            if len(failed):
                row = failed.index[0]
                raise FacsimileError(f"{faces['sample_id'][row]}: image {failed[row]}")
            columns = [f"{au}_present" for au in AUS]
            parts.append(table.reindex(columns=columns).to_numpy(float))
    return np.concatenate(parts) if parts else np.empty((0, len(AUS)))
