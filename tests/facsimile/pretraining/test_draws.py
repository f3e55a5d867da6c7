"""Random draws of training depend on seed, phase, step and position only."""

import numpy as np
import torch

from facsimile.pretraining.draws import TrainingDraws, stratified_timesteps


def test_each_epoch_has_each_face_once_in_a_new_order():
    draws = TrainingDraws(0, "autoencoder", faces=10, batch_size=4)
    seen = np.concatenate([draws.rows(step) for step in range(5)])
    first, second = seen[:10], seen[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(first) != list(second)


def test_a_batch_may_be_larger_than_the_dataset():
    assert sorted(TrainingDraws(0, "prior", faces=3, batch_size=6).rows(7)) == [0, 0, 1, 1, 2, 2]


def test_no_draw_depends_on_earlier_ones():
    draws = TrainingDraws(0, "autoencoder", faces=10, batch_size=4)
    for step in (7, 2, 7):
        fresh = TrainingDraws(0, "autoencoder", faces=10, batch_size=4)
        np.testing.assert_array_equal(draws.rows(step), fresh.rows(step))
        np.testing.assert_array_equal(draws.mirrored(step), fresh.mirrored(step))
        assert torch.equal(draws.timesteps(step), fresh.timesteps(step))


def test_noise_does_not_depend_on_how_a_batch_is_divided():
    draws = TrainingDraws(0, "autoencoder", faces=10, batch_size=4)
    whole = draws.noise(3, slice(None), (3, 8, 8))
    shares = [draws.noise(3, slice(start, start + 2), (3, 8, 8)) for start in (0, 2)]
    assert torch.equal(whole, torch.cat(shares))
    assert not torch.equal(whole, draws.noise(4, slice(None), (3, 8, 8)))
    assert not torch.equal(whole, TrainingDraws(0, "prior", 10, 4).noise(3, slice(None), (3, 8, 8)))
    assert abs(whole.mean()) < 0.1 and abs(whole.std() - 1) < 0.1


def test_each_stratum_has_one_timestep():
    timesteps = stratified_timesteps(10, 0, np.random.default_rng(0))
    assert sorted((timesteps // 100).tolist()) == list(range(10))


def test_skewed_timesteps_follow_a_power_law():
    # Density ~ t: the median is at 1000 / sqrt(2).
    timesteps = stratified_timesteps(10_000, 1, np.random.default_rng(0))
    assert abs(timesteps.float().median().item() - 707) <= 3
    assert timesteps.max() <= 999
