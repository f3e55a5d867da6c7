"""Champion and challenger: registration, the decision, rollback, and loading without this code."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facsimile.detection import AUEnsemble
from facsimile.detection.model_comparison import PromotionRule
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import encode_png
from flows.model_registry import CHALLENGER, CHAMPION, DECISION, MODEL, REASON, ModelRegistry
from flows.promotion import judge, promote
from flows.registration import register
from tests.support.detectors import mark_faces, train, validation_images

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WITHOUT_CHECKOUT = Path(__file__).with_name("load_model.py")
RULE = PromotionRule()


def champion(root: Path) -> int:
    return ModelRegistry(root).require(CHAMPION).number


def test_the_first_version_is_the_champion(registered: Path) -> None:
    (version,) = ModelRegistry(registered).versions()
    assert set(version.aliases) == {CHAMPION, CHALLENGER}
    assert version.tags[REASON] == "the first version"
    assert version.tags["facsimile.arm"] == "real+generated"
    assert version.tags["dvc.deps.data/ingest"] == "0" * 32
    assert 0.7 < float(version.tags["facsimile.validation.f1"]) < 0.9


def test_the_same_detectors_are_registered_once(registered: Path) -> None:
    again = register(registered)
    assert (again.is_new, again.version.number) == (False, 1)
    assert "already registered as version 1" in str(again)


def test_promotion_refusal_and_rollback(registered: Path) -> None:
    train(registered)  # perfect
    assert str(register(registered)).startswith("real+generated registered as version 2 of")
    assert champion(registered) == 1, "it was promoted without a test"
    decision = promote(registered, RULE)
    assert decision.passed and decision.comparison.difference > 0.03
    assert decision.reasons == (str(decision.comparison),)
    assert champion(registered) == 2

    train(registered, inverted=["AU04"])
    register(registered)
    decision = promote(registered, RULE)
    assert not decision.passed
    assert any(reason.startswith("AU04: F1 0.") for reason in decision.reasons)
    refused = ModelRegistry(registered).require(CHALLENGER)
    assert refused.tags[DECISION] == "refused" and "AU04" in refused.tags[REASON]
    assert champion(registered) == 2

    registry = ModelRegistry(registered)
    replaced, back = registry.roll_back()
    assert (replaced.number, back.number, champion(registered)) == (2, 1, 1)
    with pytest.raises(FacsimileError, match="version 1 is the first champion"):
        registry.roll_back()

    # What people have rolled back, no schedule may promote again.
    decision = promote(registered, RULE, "2")
    assert not decision.passed and "was rolled back on" in decision.reasons[0]
    assert promote(registered, RULE, "2", force=True).passed
    assert champion(registered) == 2


def test_other_validation_faces_are_read_by_the_registered_models(registered: Path) -> None:
    train(registered)
    register(registered)
    before = judge(registered, RULE)
    # The hash says that the faces are others, so stored readings are not used.
    mark_faces(registered, "1" * 32)
    after = judge(registered, RULE)
    assert after.passed and champion(registered) == 1
    pd.testing.assert_frame_equal(after.comparison.per_au, before.comparison.per_au)


def test_a_registered_model_loads_without_the_project(registered: Path, tmp_path: Path) -> None:
    """With a script that can import only what the requirements bring."""
    source = ModelRegistry(registered).use(
        lambda client: client.get_model_version_download_uri(MODEL, "1")
    )
    images = [encode_png(image) for image in validation_images()[:3]]
    pd.DataFrame({"image": images}).to_parquet(tmp_path / "faces.parquet")
    command = [sys.executable, "-P", str(WITHOUT_CHECKOUT), source, str(tmp_path), str(ROOT)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = pd.read_parquet(tmp_path / "predictions.parquet")
    ensemble = AUEnsemble.load(registered / "data" / "train" / "real+generated")
    expected = ensemble.predict(validation_images()[:3]).clip(0, 1)
    np.testing.assert_allclose(found[list(AUS)].to_numpy(float), expected, atol=1e-5)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["inputs"] == ["image"] and len(report["outputs"]) == 25
    assert report["metadata"]["training_data"] == {"data/ingest": "0" * 32}
    assert report["example_error"] is None
    assert "/code/facsimile/" in report["code"]


def test_other_arms_are_named(registered: Path) -> None:
    with pytest.raises(FacsimileError, match=r"no detectors of arm 'real'; --arm takes real\+gen"):
        register(registered, "real")
    shutil.rmtree(registered / "data" / "train")
    with pytest.raises(FacsimileError, match="no detectors yet; run `facsimile run train`"):
        register(registered)


def test_without_versions_there_is_nothing_to_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    registry = ModelRegistry(tmp_path)
    assert registry.versions() == [] and not (tmp_path / "mlflow.db").exists()
    with pytest.raises(FacsimileError, match="has no version 'champion'; `facsimile models`"):
        registry.roll_back()


def test_a_store_that_does_not_respond(registered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    for use in (register, lambda root: promote(root, RULE)):
        with pytest.raises(FacsimileError) as raised:
            use(registered)
        assert str(raised.value) == "MLflow at http://127.0.0.1:9: Connection refused"


def test_a_model_that_is_gone(registered: Path) -> None:
    train(registered)
    register(registered)
    mark_faces(registered, "1" * 32)
    registry = ModelRegistry(registered)
    source = registry.use(lambda client: client.get_model_version_download_uri(MODEL, "1"))
    moved = Path(source.removeprefix("file://"))
    moved.rename(moved.with_name("elsewhere"))
    try:
        with pytest.raises(FacsimileError, match="models:/facsimile-au-detectors/1: the model"):
            promote(registered, RULE)
    finally:
        moved.with_name("elsewhere").rename(moved)
    assert champion(registered) == 1
