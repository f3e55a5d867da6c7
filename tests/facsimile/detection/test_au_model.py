"""The model that is registered: its table of readings, also for images that cannot be read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facsimile.detection import AUEnsemble
from facsimile.detection.au_model import AUModel
from facsimile.faces.aus import AUS
from facsimile.faces.tables import encode_png
from tests.support.detectors import SIZE, perfect_detector, pictures

IMAGES = pictures(6)
THRESHOLDS = np.full(len(AUS), 0.31)


@pytest.fixture(scope="module")
def ensemble() -> AUEnsemble:
    return AUEnsemble([perfect_detector(IMAGES)])


def faces(*contents: bytes) -> pd.DataFrame:
    return pd.DataFrame({"image": pd.Series(contents, dtype=object)})


def test_readings_are_those_of_the_ensemble(ensemble: AUEnsemble) -> None:
    table = AUModel(ensemble, THRESHOLDS, SIZE).predict(faces(*map(encode_png, IMAGES)))
    readings = ensemble.predict(IMAGES)
    np.testing.assert_allclose(table[list(AUS)], readings.clip(0, 1), atol=1e-6)
    present = table[[f"{au}_present" for au in AUS]].to_numpy()
    assert (present == (readings >= 0.31)).all() and present.any() and not present.all()
    assert table["error"].isna().all()


def test_images_of_another_size_are_resized(ensemble: AUEnsemble) -> None:
    large = IMAGES.repeat(2, axis=1).repeat(2, axis=2)
    table = AUModel(ensemble, THRESHOLDS, SIZE).predict(faces(encode_png(large[0])))
    assert table["error"].isna().all() and table["AU01"].notna().all()


def test_an_unreadable_image_does_not_concern_the_others(ensemble: AUEnsemble) -> None:
    model = AUModel(ensemble, THRESHOLDS, SIZE)
    good, wide = encode_png(IMAGES[0]), encode_png(IMAGES[0][:16])
    table = model.predict(faces(b"junk", good, wide, b"", encode_png(np.zeros_like(IMAGES[0]))))
    reasons = ["is unreadable", None, "is 32 × 16", "is empty", "is blank"]
    for reason, error in zip(reasons, table["error"], strict=True):
        assert error is None if reason is None else reason in error
    alone = model.predict(faces(good))
    assert table.loc[1, "AU12"] == alone.loc[0, "AU12"]
    # None, because JSON has no NaN.
    assert table.loc[0, "AU12"] is None and table.loc[0, "AU12_present"] is None


def test_aus_that_were_not_learnt_have_no_column(ensemble: AUEnsemble, tmp_path: Path) -> None:
    thresholds = np.where(np.array(AUS) == "AU04", np.nan, 0.31)
    ensemble.members[0].save(tmp_path / "train" / "seed-0")
    AUModel(ensemble, thresholds, SIZE).save(tmp_path / "model", tmp_path / "train")
    model = AUModel.load(tmp_path / "model")
    table = model.predict(faces(encode_png(IMAGES[0])))
    assert "AU04" not in table and "AU04_present" not in table and len(table.columns) == 23
    assert model.predict(faces()).columns.tolist() == table.columns.tolist()


def test_memory_is_bounded_by_batches(ensemble: AUEnsemble, monkeypatch) -> None:
    sizes = []
    monkeypatch.setattr(
        AUEnsemble,
        "predict",
        lambda self, images: sizes.append(len(images)) or np.zeros((len(images), len(AUS))),
    )
    content = encode_png(IMAGES[0])
    table = AUModel(ensemble, THRESHOLDS, SIZE).predict(faces(*[content] * 150))
    assert (len(table), sizes) == (150, [64, 64, 22])
