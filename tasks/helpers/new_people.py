"""New people from the latent prior, as `synthesize` samples them, one at a time."""

import numpy as np

from facsimile.editing import Neutralizer
from facsimile.faces.tables import decode_images
from facsimile.generator import Codes, Generator, NoiseModel
from facsimile.synthesis import DemographicPredictors, IdentityOperator, sample_identities
from tasks.helpers.codes import read_editable, read_encoded, stack_codes
from tasks.params import DatasetsParams
from tasks.shared.artefacts import NEUTRALIZER_FILE

_MAX_DRAWS = 20_000
_BATCH = 64


def fit_demographics(datasets: DatasetsParams, generator: Generator) -> DemographicPredictors:
    """Predictors of gender and age group, fitted on the training faces of the attribute set."""
    labelled = read_encoded(datasets.attributes, generator, "train")
    return DemographicPredictors().fit(
        stack_codes(labelled["z"]),
        labelled["male"].to_numpy(),
        labelled["age"].to_numpy(),
        labelled["subject_id"].to_numpy(),
    )


def fit_noise(datasets: DatasetsParams) -> NoiseModel:
    """Distribution of x_T of the neutral training faces."""
    return NoiseModel().fit(Codes.from_table(read_editable(datasets.aus, "train")))


class PersonSampler:
    """Samples neutral faces of people of a gender and age group.

    Args:
        generator: generator with a latent prior.
        datasets: names the faces that demographics and x_T are learnt from.

    Raises:
        FacsimileError: the stages `encode` or `neutralizer` have not run, or another generator
            encoded the faces.
    """

    def __init__(self, generator: Generator, datasets: DatasetsParams) -> None:
        self._generator = generator
        self._demographics = fit_demographics(datasets, generator)
        neutralizer = Neutralizer.load(NEUTRALIZER_FILE)
        self._neutralize = IdentityOperator(generator, neutralizer, fit_noise(datasets))

    def sample(self, gender: str, age_group: str, seed: int) -> np.ndarray:
        """A neutral face, uint8 (H, W, 3); the same seed gives the same one.

        Args:
            gender: one of ``GENDERS``.
            age_group: one of ``AGE_GROUPS``.
            seed: seed of the draws.

        Raises:
            FacsimileError: no such person was drawn, or the generator has no latent prior.
        """
        people = sample_identities(
            self._generator,
            self._demographics,
            1,
            seed=seed,
            max_draws=_MAX_DRAWS,
            batch_size=_BATCH,
        )
        chosen = people[(people["gender"] == gender) & (people["age_group"] == age_group)]
        return decode_images(self._neutralize(chosen.reset_index(drop=True)))[0]
