"""Faces from prompts: planning, generating and labelling them.

Source: "MAUGen: A Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label
Generation" (Li et al., 2026), 3.1: a prompt is expanded to many descriptions, each is shown by a
person drawn from the identity bank, and labelled by the label decoder.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from facsimile.describing.describer import Describer
from facsimile.faces.annotation import presence
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.origins import DESCRIBED
from facsimile.faces.tables import image_structs, to_uint8
from facsimile.generator import Generator
from facsimile.language import ASKED, Prompt, describe
from facsimile.measurement import jaccard
from facsimile.seeding import sample_rng


def plan_described(
    prompts: Sequence[Prompt], each: int, describer: Describer, seed: int
) -> pd.DataFrame:
    """Plan faces: for each, the AUs to show, a description of them, and a person.

    Draws are seeded by sample_id.

    Args:
        prompts: what was asked for.
        each: faces of each prompt.
        describer: has the identity bank.
        seed: seed of all draws.

    Returns:
        One row per face: sample_id, prompt, description, ``prompt_AU…``, person (row of the bank),
        seed.

    Raises:
        FacsimileError: the bank has nobody like a prompt asks for.
    """
    rows = []
    for number, prompt in enumerate(prompts):
        ids = [f"{DESCRIBED}/{number}/{n:05d}" for n in range(each)]
        requests = [prompt.draw(sample_rng(seed, f"{name}/request")) for name in ids]
        people = describer.bank.choose([request.people for request in requests], ids, seed)
        for name, request, person in zip(ids, requests, people, strict=True):
            levels = [request.aus.get(au, 0.0) for au in AUS]
            sentence = describe(request, sample_rng(seed, f"{name}/words"))
            rows.append((name, prompt.text, sentence, *levels, person, seed))
    columns = ["sample_id", "prompt", "description", *ASKED, "person", "seed"]
    return pd.DataFrame(rows, columns=columns)


class DescribedFacesOperator:
    """Maps planned faces to generated ones.

    Args:
        generator: loaded generator.
        describer: trained on codes of this generator.
    """

    def __init__(self, generator: Generator, describer: Describer) -> None:
        describer.check(generator)
        self.generator = generator
        self.describer = describer

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Rows with the columns of ``GENERATED_SCHEMA`` and ``WORDS_SCHEMA``.

        Args:
            batch: rows of `plan_described` with one seed.
        """
        ids, people = batch["sample_id"].to_list(), batch["person"].to_numpy()
        made = self.describer.generate(
            batch["description"].to_list(), people, ids, int(batch["seed"].iloc[0])
        )
        images = to_uint8(self.generator.decode(made.codes))
        attributes = self.describer.bank.attributes.numpy()[people]
        names = [person_name(row) for row in people]
        asked = presence(batch[list(ASKED)].to_numpy(float))
        return batch.assign(
            dataset=DESCRIBED,
            subject_id=names,
            split="train",
            image=image_structs(images, ids),
            **dict(zip(AUS, made.aus.astype(np.float32).T, strict=True)),
            au_presence_only=False,
            **dict(zip(NUISANCES, attributes.T, strict=True)),
            origin=DESCRIBED,
            source_id=names,
            edited_au=None,
            intensity=np.float32(np.nan),
            editor="describer",
            editor_md5=self.describer.digest,
            generator_md5=self.generator.digest,
            z=made.codes.to_columns()["z"],
            prompt_jaccard=jaccard(asked, presence(made.aus)).astype(np.float32),
        )


def person_name(row: int) -> str:
    """Id of a person of the identity bank."""
    return f"{DESCRIBED}/person/{row:05d}"
