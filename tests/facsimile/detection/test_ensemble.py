import numpy as np
import pytest
import torch

from facsimile.detection import AUDetector, AUEnsemble
from facsimile.errors import FacsimileError
from tests.facsimile.detection.faces import bars


@pytest.fixture(scope="module")
def members() -> list[AUDetector]:
    torch.manual_seed(0)
    return [AUDetector(64).eval() for _ in range(2)]


def test_readings_are_the_mean_over_detectors_and_mirror_images(members):
    images, _ = bars(3, seed=0)
    images[:, :, :32] //= 2  # not symmetric
    views = [m.predict(view) for m in members for view in (images, images[:, :, ::-1].copy())]
    readings = AUEnsemble(members).predict(images)
    np.testing.assert_allclose(readings, sum(views) / 4, rtol=1e-5, atol=1e-7)
    mirrored = AUEnsemble(members).predict(images[:, :, ::-1])
    np.testing.assert_allclose(mirrored, readings, rtol=1e-5, atol=1e-7)


def test_detectors_of_all_seeds_are_read(members, tmp_path):
    for seed, member in zip((3, 12), members, strict=True):
        member.save(tmp_path / f"seed-{seed}")
    images, _ = bars(3, seed=1)
    readings = AUEnsemble.load(tmp_path).predict(images)
    np.testing.assert_allclose(readings, AUEnsemble(members).predict(images), rtol=1e-5, atol=1e-7)
    with pytest.raises(FacsimileError, match="absent: no detectors"):
        AUEnsemble.load(tmp_path / "absent")
