"""A describer that is hardly trained: labels of all AUs are 0, and people differ."""

from contextlib import chdir
from pathlib import Path

import numpy as np
import torch

from facsimile.describing import (
    Describer,
    IdentityBank,
    JointTrainingOptions,
    Narrator,
    TextTrainingOptions,
    TrainingFaces,
    WordEncoder,
)
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.generator import Codes, DiffAEPipeline, NoiseModel
from facsimile.language import describe
from tasks.shared.artefacts import DESCRIBER, GENERATOR

OPTIONS = JointTrainingOptions(hidden=16, width=8, steps=2, batch_size=4, sampling_steps=4)
TEXT = TextTrainingOptions(dim=8, layers=1, steps=1, batch_size=2)


def identity_bank(z_dim: int) -> IdentityBank:
    """24 people: half of them men, of all ages, a third with glasses."""
    rows = torch.arange(24)
    attributes = torch.zeros(24, len(NUISANCES))
    attributes[:, NUISANCES.index("male")] = rows % 2
    attributes[:, NUISANCES.index("age")] = (rows % 3 + 0.5) / 3
    attributes[:, NUISANCES.index("eyeglasses")] = ((rows // 6) % 3 == 0).float()
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(24, z_dim)).astype(np.float32))
    return IdentityBank(z, attributes)


def describer(generator: DiffAEPipeline) -> Describer:
    """A describer for a generator."""
    z_dim, size = generator.z_dim, generator.image_size
    bank = identity_bank(z_dim)
    count = len(bank)
    none = torch.zeros(count, len(AUS))
    faces = TrainingFaces(
        bank.z, bank.z, none, none, torch.ones(z_dim), (torch.zeros(z_dim), torch.eye(z_dim))
    )
    x_t = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0))
    return Describer(OPTIONS).fit(
        faces,
        Narrator(none.numpy(), bank.attributes.numpy(), describe, 0),
        WordEncoder.fit(TEXT),
        bank,
        NoiseModel().fit(Codes(torch.zeros(4, z_dim), x_t)),
        generator,
    )


def write_describer(root: Path) -> None:
    """Save a describer for the generator of the project."""
    with chdir(root):
        made = describer(DiffAEPipeline.from_pretrained(GENERATOR))
        with torch.no_grad():
            made.model.label_decoder.occurrence[-1].bias.fill_(-10.0)
        made.save(DESCRIBER)
