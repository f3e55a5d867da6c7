import numpy as np
import pytest

from facsimile.errors import FacsimileError
from facsimile.paper.learning_curve import Pow3, data_multiple, fit_pow3

SIZES = np.array([270, 540, 1080, 2160, 4320])


@pytest.mark.parametrize("curve", [Pow3(0.8, 3.0, 0.4), Pow3(0.95, 0.9, 0.1), Pow3(0.6, 900, 1.5)])
def test_a_known_curve_is_found(curve):
    fitted = fit_pow3(SIZES, curve.predict(SIZES))
    assert (fitted.a, fitted.c) == pytest.approx((curve.a, curve.c), rel=0.01)
    np.testing.assert_allclose(
        fitted.predict([100, 2000, 20000]), curve.predict([100, 2000, 20000]), atol=1e-3
    )


def test_fit_to_noisy_scores_is_close_and_never_exceeds_1():
    rng = np.random.default_rng(0)
    curve = Pow3(0.8, 3.0, 0.4)
    fitted = fit_pow3(
        np.tile(SIZES, 20), curve.predict(np.tile(SIZES, 20)) + rng.normal(0, 0.01, 100)
    )
    assert fitted.size_for(0.7) == pytest.approx(curve.size_for(0.7), rel=0.2)
    steep = fit_pow3(SIZES, 0.2 * np.log10(SIZES) + 0.2)  # crosses 1 further on
    assert steep.a <= 1 and steep.b >= 0 and steep.c > 0


def test_size_for_inverts_predict():
    curve = Pow3(0.8, 3.0, 0.4)
    assert curve.size_for(float(curve.predict(1234))) == pytest.approx(1234)
    assert curve.size_for(0.8) == curve.size_for(0.9) == float("inf")
    assert Pow3(1.0, 1.0, 1e-6).size_for(0.999) == float("inf")  # beyond all numbers
    assert np.isnan(curve.size_for(float("nan")))


def test_falling_scores_give_a_flat_curve():
    fitted = fit_pow3(SIZES, [0.7, 0.65, 0.6, 0.55, 0.5])
    np.testing.assert_allclose(fitted.predict(SIZES), 0.6, atol=1e-3)
    assert fitted.size_for(0.61) == float("inf")


def test_too_few_sizes_give_nan():
    for sizes, scores in (([100, 200], [0.5, 0.6]), ([100, 200, 200], [0.5, 0.6, 0.61])):
        assert np.isnan(fit_pow3(sizes, scores).predict([100])).all()
    assert np.isnan(fit_pow3([100, 200, 400], [0.5, 0.6, np.nan]).a)
    assert np.isnan(data_multiple([100, 200], [[0.5], [0.6]], [0.7], 200, seed=0, draws=3)).all()


def test_multiple_of_the_data_with_known_repeats():
    curve = Pow3(0.8, 3.0, 0.4)
    repeats = [curve.predict(size) + np.array([-0.004, 0, 0.004]) for size in SIZES]
    reference = curve.predict(5 * 2160) + np.array([-0.003, 0, 0.003])
    multiple, low, high = data_multiple(SIZES, repeats, reference, 2160, seed=0, draws=60)
    assert multiple == pytest.approx(5, rel=0.02)
    assert 2 < low < 4.8 and high > 5.2
    again = data_multiple(SIZES, repeats, reference, 2160, seed=0, draws=60)
    assert again == (multiple, low, high)
    # A reference within the measured sizes is interpolated.
    single = [[float(curve.predict(size))] for size in SIZES]
    within = data_multiple(SIZES, single, [curve.predict(1500)], 1000, seed=0, draws=4)
    assert within == pytest.approx((1.5, 1.5, 1.5), rel=0.01)


def test_a_reference_out_of_reach_is_infinitely_far():
    curve = Pow3(0.6, 900, 1.5)
    repeats = [curve.predict(size) + np.array([-0.002, 0.002]) for size in SIZES]
    assert data_multiple(SIZES, repeats, [0.9, 0.91], 2160, seed=0, draws=20) == (np.inf,) * 3
    multiple, low, high = data_multiple(SIZES, repeats, [0.59, 0.63], 2160, seed=0, draws=40)
    assert multiple == np.inf and low < np.inf and high == np.inf


def test_errors():
    with pytest.raises(FacsimileError, match="3 sizes, 2 scores"):
        fit_pow3([1, 2, 3], [0.1, 0.2])
    with pytest.raises(FacsimileError, match="size 0 is not positive"):
        fit_pow3([0, 2, 3], [0.1, 0.2, 0.3])
