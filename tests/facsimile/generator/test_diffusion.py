"""DDIM against cases with a known answer."""

import pytest
import torch

from facsimile.errors import FacsimileError
from facsimile.generator import diffusion


def point_mass(target):
    """The exact eps when every training image equals `target`."""
    alphas = diffusion.image_scheduler().alphas_cumprod

    def eps(x_t, timesteps):
        alpha = alphas[timesteps][:, None, None, None]
        return (x_t - alpha.sqrt() * target) / (1 - alpha).sqrt()

    return eps


def gaussian(variance, scheduler):
    """The exact eps for data N(0, variance): sqrt(1 - ab) x_t / (ab variance + 1 - ab)."""

    def eps(x_t, timesteps):
        alpha = scheduler.alphas_cumprod[timesteps][:, None]
        return (1 - alpha).sqrt() * x_t / (alpha * variance + 1 - alpha)

    return eps


@pytest.mark.parametrize("steps", [10, 20])
def test_sampling_a_point_mass_returns_it_for_any_noise(steps):
    target = torch.rand(2, 3, 4, 4) * 1.8 - 0.9
    x_t = torch.randn(2, 3, 4, 4)
    found = diffusion.sample(point_mass(target), diffusion.image_scheduler(), x_t, steps)
    torch.testing.assert_close(found, target, atol=1e-4, rtol=0)


# The probability flow of N(0, s²) data maps x_T = x0 / s to x0; 500 first-order steps reach 5 %.


def test_sampling_a_gaussian_rescales_the_noise():
    scheduler = diffusion.latent_scheduler()
    noise = torch.randn(4, 8, dtype=torch.float64)
    found = diffusion.sample(gaussian(0.25, scheduler), scheduler, noise, 500)
    torch.testing.assert_close(found, 0.5 * noise, atol=0, rtol=0.05)


def test_inversion_of_a_gaussian_and_back():
    scheduler = diffusion.image_scheduler()
    images = torch.randn(4, 8, dtype=torch.float64).clamp(-4, 4) * 0.2
    x_t = diffusion.invert(gaussian(0.04, scheduler), scheduler, images, 500)
    torch.testing.assert_close(x_t, images / 0.2, atol=0, rtol=0.05)
    found = diffusion.sample(gaussian(0.04, scheduler), scheduler, x_t, 500)
    torch.testing.assert_close(found, images, atol=0, rtol=0.05)


def error(found, expected):
    return (found / expected - 1).abs().max()


def test_second_order_needs_fewer_steps_than_first_order():
    scheduler = diffusion.image_scheduler()
    images = torch.randn(4, 8).clamp(-4, 4) * 0.2
    eps = gaussian(0.04, scheduler)

    x_t = diffusion.invert_multistep(eps, scheduler, images, 20)
    assert error(x_t, images / 0.2) < 0.03
    assert error(diffusion.sample_multistep(eps, scheduler, x_t, 20), images) < 0.03
    assert error(diffusion.invert(eps, scheduler, images, 100), images / 0.2) > 0.05
    # Halving the steps quarters the error, to within the discreteness of the timesteps.
    coarse, fine = (
        error(diffusion.sample_multistep(eps, scheduler, images / 0.2, steps), images)
        for steps in (20, 40)
    )
    assert fine < coarse / 3


def test_both_solvers_converge_to_the_same_result():
    scheduler = diffusion.image_scheduler()
    # Two different clusters: the flow is not just a rescaling, and x0 is clipped on the way.
    means = torch.tensor([[-0.9, 0.2], [0.9, 0.5]])

    def eps(x_t, timesteps):
        alpha = scheduler.alphas_cumprod[timesteps][:, None]
        variance = alpha * 0.1 + 1 - alpha
        offsets = x_t[:, None] - alpha.sqrt()[:, None] * means
        weights = (-(offsets**2).sum(-1) / (2 * variance)).softmax(1)
        return (1 - alpha).sqrt() / variance * (weights[..., None] * offsets).sum(1)

    noise = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    found = diffusion.sample_multistep(eps, scheduler, noise, 200)
    expected = diffusion.sample(eps, scheduler, noise, 1000)
    assert found[:, 0].min() < -0.5 and found[:, 0].max() > 0.5
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)
    x_t = diffusion.invert_multistep(eps, scheduler, found, 200)
    expected = diffusion.invert(eps, scheduler, found, 1000)
    torch.testing.assert_close(x_t, expected, atol=0.05, rtol=0)


@pytest.mark.parametrize("steps", [5, 10, 15])
def test_second_order_steps_clip_as_ddim_does(steps):
    x_t = torch.randn(2, 3, 4, 4)
    scheduler = diffusion.image_scheduler()
    found = diffusion.sample_multistep(point_mass(1.5), scheduler, x_t, steps)
    torch.testing.assert_close(found, torch.ones_like(x_t), atol=1e-4, rtol=0)


@pytest.mark.parametrize("count", [1, 10, 45, 999])
def test_quadratic_timesteps_rise_from_the_first_to_the_last(count):
    timesteps = diffusion._quadratic_timesteps(count)
    assert len(timesteps) == count + 1 and (timesteps[0], timesteps[-1]) == (0, 999)
    assert timesteps == sorted(set(timesteps))


@pytest.mark.parametrize("steps", [0, 1, 1000])
@pytest.mark.parametrize("run", [diffusion.sample_multistep, diffusion.invert_multistep])
def test_second_order_needs_2_to_999_steps(run, steps):
    with pytest.raises(FacsimileError, match=f"steps={steps}: must be 2…999"):
        run(point_mass(0), diffusion.image_scheduler(), torch.randn(1, 3, 2, 2), steps)


def test_blend_is_the_posterior_mean_around_the_predicted_face():
    a = diffusion.image_scheduler().alphas_cumprod[[0, 20, 300, 999]].double()
    predicted, x_t = torch.tensor([0.3, -0.2, 0.5, 0.9]), torch.tensor([0.4, 0.1, -1.2, 2.0])
    # Bayes: x0 ~ N(predicted, s²), x_t | x0 ~ N(sqrt(a) x0, 1 - a).
    s = diffusion.BLEND_STD
    gain = s**2 * a.sqrt() / (s**2 * a + 1 - a)
    expected = predicted + gain * (x_t - a.sqrt() * predicted)
    torch.testing.assert_close(diffusion.blend(predicted, x_t, a), expected)


def test_eps_is_the_noise_in_x_t_given_the_predicted_face():
    scheduler = diffusion.image_scheduler()
    timesteps = torch.tensor([0, 500, 999])
    predicted, x_t = torch.rand(3, 3, 2, 2), torch.randn(3, 3, 2, 2)
    eps = diffusion.sample_to_eps(scheduler, predicted, x_t, timesteps)
    x0 = diffusion.blend(predicted, x_t, scheduler.alphas_cumprod[timesteps].reshape(3, 1, 1, 1))
    torch.testing.assert_close(diffusion.add_noise(scheduler, x0, eps, timesteps), x_t)


def test_schedules():
    image, latent = diffusion.image_scheduler(), diffusion.latent_scheduler()
    betas = torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64)
    expected = (1 - betas).cumprod(0)
    torch.testing.assert_close(image.alphas_cumprod.double(), expected, rtol=1e-4, atol=0)
    assert latent.alphas_cumprod[9].item() == pytest.approx(0.992**10, rel=1e-4)


@pytest.mark.parametrize("steps", [0, 3, 1001])
def test_steps_must_divide_the_schedule(steps):
    with pytest.raises(FacsimileError, match=f"steps={steps}"):
        diffusion.sample(point_mass(0), diffusion.image_scheduler(), torch.randn(1, 3, 2, 2), steps)
