import numpy as np
import pytest
import torch
from torch.nn import functional as F

from facsimile.detection.nnclr import NNCLRTraining, nearest, views
from facsimile.errors import FacsimileError
from tests.facsimile.detection.faces import bars


def test_views_are_drawn_for_each_face_and_show_neither_its_light_nor_its_side():
    colour = torch.tensor([1.0, 0.6, -0.4])[:, None, None]
    ramps = (colour * torch.linspace(-0.5, 0.5, 64)).expand(64, 3, 64, 64)
    seen = views(ramps, torch.Generator().manual_seed(0))
    assert torch.equal(seen, views(ramps, torch.Generator().manual_seed(0)))
    assert seen.abs().max() <= 1
    rises = seen[:, 0, 32, 50] > seen[:, 0, 32, 14]
    assert 0.3 < rises.float().mean() < 0.7
    middle = seen[..., 28:36]
    grey = (middle[:, 0] - middle[:, 2]).std((1, 2)) < 1e-4
    assert 0.05 < grey.float().mean() < 0.4
    dark = views(ramps / 3 - 0.4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(dark, seen, rtol=0, atol=1e-4)


def test_nearest_neighbour_is_the_most_similar_embedding():
    support = F.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), dim=1)
    embeddings = F.normalize(torch.tensor([[3.0, 0.1], [2.0, 2.5]]), dim=1)
    assert torch.equal(nearest(embeddings, support), support[[0, 2]])


@pytest.mark.slow
def test_pretraining_is_reproducible():
    images, _ = bars(20, seed=3, size=32)
    training = NNCLRTraining(seed=1, steps=3, batch_size=8, queue=12)
    runs = [training.run(images) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].predict(images), runs[1].predict(images))


def test_too_few_faces():
    with pytest.raises(FacsimileError, match="3 faces are fewer than a batch of 16"):
        NNCLRTraining(seed=3, batch_size=16).run(bars(3, seed=0)[0])
