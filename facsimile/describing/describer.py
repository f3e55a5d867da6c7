"""`Describer`: faces with labels from descriptions, fitted once, saved and loaded.

Source: "MAUGen: A Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label
Generation" (Li et al., 2026). The equations are quoted in joint_generator.py, label_decoder.py and
joint_training.py.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from facsimile.describing.joint_generator import JointGenerator
from facsimile.describing.joint_training import Describe, JointTraining, TrainingFaces
from facsimile.describing.label_decoder import ALL_PARTS, DecoderParts
from facsimile.describing.options import JointTrainingOptions
from facsimile.describing.people import IdentityBank
from facsimile.describing.sampling import JointSampler
from facsimile.describing.text_encoder import TextEncoder, load_text_encoder
from facsimile.digests import file_md5, record_digests
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AU_NAMES, AUS
from facsimile.generator.base import Codes, Generator
from facsimile.generator.noise import NoiseModel
from facsimile.seeding import sample_noise

CONFIG, WEIGHTS, TEXT = "config.json", "describer.safetensors", "text"
_OPTIONS = JointTrainingOptions()


@dataclass(frozen=True)
class DescribedCodes:
    """Codes of N faces with the labels that the label decoder gives them.

    Attributes:
        codes: with x_T, unless the generator has none.
        people: rows of the identity bank (N,).
        aus: AU intensities in [0, 1] (N, 12); 0 where the AU does not occur.
        occurrence: probability of each AU (N, 12).
    """

    codes: Codes
    people: np.ndarray
    aus: np.ndarray
    occurrence: np.ndarray


class Describer:
    """Joint generator, text encoder, identity bank and distribution of x_T.

    Args:
        options: sizes, training and sampling.
        parts: parts of the label decoder.

    Attributes:
        bank: people to show expressions on.
        digest: MD5 of the saved weights; None before.
    """

    bank: IdentityBank
    digest: str | None = None

    def __init__(
        self,
        options: JointTrainingOptions = _OPTIONS,
        parts: DecoderParts = ALL_PARTS,
    ) -> None:
        self.options = options
        self.parts = parts

    def fit(
        self,
        faces: TrainingFaces,
        describe: Describe,
        encoder: TextEncoder,
        bank: IdentityBank,
        noise: NoiseModel,
        generator: Generator,
        on_step: Callable[[int], None] = lambda count: None,
    ) -> Self:
        """Train the joint generator.

        Args:
            faces: what to learn from.
            describe: descriptions of its rows.
            encoder: text encoder.
            bank, noise: kept for `generate`.
            generator: generator of the codes.
            on_step: called with 1 after each step.
        """
        self.encoder, self.bank, self.noise = encoder, bank, noise
        self.generator_md5 = generator.digest
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.options.seed)
            model = self._network(faces.z.shape[1])
        training = JointTraining(self.options, faces, describe, encoder, generator.device)
        self.model = training.run(model, on_step)
        self.metrics_ = {"losses": training.history_, "weights": training.weights_}
        return self

    def _network(self, z_dim: int) -> JointGenerator:
        options = self.options
        descriptions = self.encoder.encode([AU_NAMES[au] for au in AUS]).pooled
        return JointGenerator(
            z_dim,
            self.encoder.dim,
            descriptions,
            options.hidden,
            options.width,
            self.parts,
            options.mutual,
        )

    def check(self, generator: Generator) -> None:
        """Raise FacsimileError if it was trained on codes of another generator."""
        if self.generator_md5 != generator.digest:
            raise FacsimileError(
                f"the describer was trained on codes of generator {self.generator_md5}, not "
                f"{generator.digest}; train it again: `dvc unfreeze describer && dvc repro "
                "describer`"
            )

    def generate(
        self, descriptions: Sequence[str], people: np.ndarray, ids: Sequence[str], seed: int
    ) -> DescribedCodes:
        """Codes and labels of N faces. Each face depends only on its own arguments.

        Args:
            descriptions: N sentences.
            people: rows of the bank (N,).
            ids: N ids, which seed the noise of z; equal people have equal x_T.
            seed: seed of all noise.
        """
        device = next(self.model.parameters()).device
        exemplars = self.bank.z[np.array(people)].to(device)
        noise = sample_noise(seed, [f"{name}/z" for name in ids], exemplars.shape[1:]).to(device)
        options = self.options
        sampler = JointSampler(
            self.model, options.sampling_steps, options.guidance, options.query_decay
        )
        text = self.encoder.encode(descriptions).to(device)
        z, labels = sampler(noise, text, exemplars)
        occurrence = labels.occurrence.sigmoid().cpu().numpy()
        aus = labels.intensity.clamp(0, 1).cpu().numpy() * (occurrence >= 0.5)
        codes = self.noise.complete(
            Codes(z.cpu()), [f"person/{row}" for row in people], [seed] * len(ids)
        )
        return DescribedCodes(codes, people, aus, occurrence)

    def save(self, folder: Path) -> None:
        """Write config.json, describer.safetensors (half precision) and the text encoder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.encoder.save(folder / TEXT)
        config = {
            "options": self.options.model_dump(),
            "parts": self.parts.__dict__,
            "aus": list(AUS),
            "generator_md5": self.generator_md5,
            "z_dim": self.bank.z.shape[1],
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        state = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self.noise.mean_ is not None:
            state |= {"noise.mean": self.noise.mean_, "noise.factors": self.noise.factors_}
        state |= self.bank.state()
        state = {name: value.half().cpu().contiguous() for name, value in state.items()}
        save_file(state, folder / WEIGHTS)
        record_digests(folder, (CONFIG, WEIGHTS))
        self.digest = file_md5(folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Read what `save` wrote. Raises FacsimileError if it is not readable."""
        if not (folder / WEIGHTS).exists():
            raise FacsimileError(
                f"{folder}: no describer; train it: `dvc unfreeze describer && dvc repro describer`"
            )
        try:
            config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
            describer = cls(
                JointTrainingOptions(**config["options"]), DecoderParts(**config["parts"])
            )
            state = {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
            describer.encoder = load_text_encoder(folder / TEXT)
            describer.model = describer._network(config["z_dim"])
            describer.model.load_state_dict(
                {
                    name.removeprefix("model."): value
                    for name, value in state.items()
                    if name.startswith("model.")
                }
            )
            describer.bank = IdentityBank.from_state(state)
            describer.noise = NoiseModel()
            describer.noise.mean_ = state.get("noise.mean")
            describer.noise.factors_ = state.get("noise.factors")
            describer.generator_md5 = config["generator_md5"]
        except FacsimileError:
            raise
        except Exception as error:  # safetensors raises its own untyped errors
            raise FacsimileError(f"{folder}: not a describer ({error})") from error
        describer.model.to(device).eval().requires_grad_(False)
        describer.digest = file_md5(folder / WEIGHTS)
        return describer
