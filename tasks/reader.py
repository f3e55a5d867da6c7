"""The AU estimators that `directions` and `filter` train to read decoded faces."""

import numpy as np

from facsimile.detection import AUOracle, train_oracle
from tasks.stage import Compute, progress


def train_reader(
    images: np.ndarray,
    aus: np.ndarray,
    subjects: np.ndarray,
    images_val: np.ndarray,
    aus_val: np.ndarray,
    *,
    seed: int,
    epochs: int,
    compute: Compute,
) -> AUOracle:
    """An AU estimator of these people: the network of the oracle, which learns in a few epochs.

    See `facsimile.detection.train_oracle`.
    """
    with progress("train the reader", epochs, "epochs") as advance:
        reader, _ = train_oracle(
            images,
            aus,
            subjects,
            images_val,
            aus_val,
            seed=seed,
            epochs=epochs,
            device=compute.device,
            on_epoch=lambda _: advance(1),
        )
    return reader
