"""The training report."""

import numpy as np
import pandas as pd
import torch

from facsimile.pretraining import TrainingFaces, TrainingOptions, model_card
from facsimile.pretraining.training_report import grid

FACES = TrainingFaces(
    np.zeros((5, 8, 8, 3), np.uint8), np.zeros((3, 8, 8, 3), np.uint8), pd.DataFrame()
)


def test_rows_of_faces_form_a_grid() -> None:
    picture = np.asarray(grid(torch.full((2, 3, 4, 4), -1.0), torch.full((2, 3, 4, 4), 1.0)))
    assert picture.shape == (8, 8, 3)
    assert (picture[:4] == 0).all() and (picture[4:] == 255).all()


def test_the_model_card_has_data_options_and_metrics() -> None:
    options = TrainingOptions(detail=2.5)
    card = model_card(options, FACES, True, {"ssim_inverted": 0.98765, "au_pearson_original": 0.9})
    assert card.startswith("# Diffusion Autoencoder of the embedded world\n")
    assert "| ssim_inverted | 0.9877 |" in card and "`au_pearson_*`" in card
    assert "- Data: 5 faces" in card and "Measured on 3 faces" in card and "detail 2.5" in card
    card = model_card(options, FACES, False, {"ssim_inverted": 0.9})
    assert card.startswith("# Diffusion Autoencoder\n") and "au_pearson" not in card


def test_options_that_affect_the_weights_have_dotted_names() -> None:
    named = TrainingOptions().of_the_weights()
    assert named["unet.z_dim"] == 256 and named["prior.steps"] == 8_000
    assert not {"workers", "compile", "checkpoint_every", "prior.accumulate"} & named.keys()
