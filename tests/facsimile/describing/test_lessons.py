"""What the joint generator learns from, and the people that it shows."""

import numpy as np
import pytest
import torch

from facsimile.describing.lessons import agreed_aus, draw_configurations
from facsimile.describing.people import IdentityBank
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS


def test_detectors_must_agree_on_a_realistic_face() -> None:
    thresholds = np.full(len(AUS), 0.2)
    readings = np.zeros((2, 3, len(AUS)))
    readings[:, 0, 0] = 0.6, 0.7  # alike
    readings[:, 0, 1] = 0.3, 0.9  # both detect it, at different intensities
    readings[:, 0, 2] = 0.1, 0.3  # one detects it
    readings[:, 1, 0] = 0.05, 0.09  # absent
    readings[:, 1, 1] = 0.05, 0.15  # perhaps faint
    agreed = agreed_aus(readings, thresholds, np.ones(len(AUS), bool), np.array([1, 1, 0], bool))
    assert agreed[0, 0] == pytest.approx(0.65) and np.isnan(agreed[0, [1, 2]]).all()
    assert agreed[1, 0] == 0 and np.isnan(agreed[1, 1]) and np.isnan(agreed[2]).all()


def test_unreliable_aus_are_never_agreed_on() -> None:
    reliable = np.ones(len(AUS), bool)
    reliable[3] = False
    agreed = agreed_aus(np.zeros((2, 1, len(AUS))), np.full(len(AUS), 0.2), reliable, np.ones(1))
    assert np.isnan(agreed[0, 3]) and not np.isnan(agreed[0, reliable]).any()


def test_configurations_depend_on_their_ids_only() -> None:
    ids = [f"face/{n}" for n in range(300)]
    levels = draw_configurations(ids, ("AU04", "AU12"), (0.3, 0.9), seed=1)
    assert np.array_equal(
        levels[100:200], draw_configurations(ids[100:200], ("AU04", "AU12"), (0.3, 0.9), 1)
    )
    active = levels[:, [AUS.index("AU04"), AUS.index("AU12")]]
    assert (levels.sum(1) == active.sum(1)).all()
    assert set(np.unique((active > 0).sum(1))) == {0, 1, 2}
    assert active[active > 0].min() >= 0.3 and active.max() <= 0.9


@pytest.fixture
def bank() -> IdentityBank:
    attributes = torch.zeros(20, 4)
    attributes[:10, 2] = 1.0  # men
    attributes[:, 3] = torch.linspace(0, 1, 20)
    return IdentityBank(torch.randn(20, 8), attributes)


def test_people_are_drawn_from_those_within_the_ranges(bank: IdentityBank) -> None:
    ids = [f"face/{n}" for n in range(50)]
    men = bank.choose([{"male": (0.5, 1.0)}] * 50, ids, seed=0)
    assert set(men) <= set(range(10)) and len(set(men)) > 5
    assert bank.choose([{"male": (0.5, 1.0)}], ids[7:8], seed=0)[0] == men[7]


def test_nobody_within_the_ranges_is_an_error(bank: IdentityBank) -> None:
    with pytest.raises(FacsimileError, match=r"nobody with beard 0.5 … 1"):
        bank.choose([{"beard": (0.5, 1.0)}], ["face/0"], seed=0)
