"""Measure a describer on people of its identity bank that it has not learnt from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from facsimile.describing import (
    DescribedFacesOperator,
    Describer,
    draw_configurations,
    plan_described,
)
from facsimile.describing.measures import agreement, identity_similarity, spread_within
from facsimile.detection import AUOracle
from facsimile.editing import Change
from facsimile.faces.aus import AUS
from facsimile.faces.origins import DESCRIBED
from facsimile.faces.tables import decode_images
from facsimile.generator import Codes
from facsimile.language import Request, describe, understand
from facsimile.measurement import choose_thresholds
from facsimile.report.gallery import contact_sheet, gallery_rows
from facsimile.report.sheets import active_aus
from facsimile.seeding import sample_rng
from tasks.helpers.describer_project import DescriberProject
from tasks.helpers.image_readings import read_images
from tasks.shared.artefacts import ORACLE, read_splits

PROMPTS = (
    "marked happiness",
    "severe sadness",
    "severe surprise",
    "severe fear",
    "marked anger",
    "severe disgust",
    "AU4C+9D",
    "marked smile, no parted lips",
    "stretched lips and dropped jaw",
    "raised chin, strongly lowered lip corners",
)
"""Prompts of the sheet."""
PER_PERSON = 5
"""Prompts of each person in `measure`."""
SHOWN_BY = 10
"""People who show each prompt when the spread of its labels is measured."""


def measure(
    describer: Describer,
    project: DescriberProject,
    people: np.ndarray,
    intensity: tuple[float, float],
    seed: int,
) -> dict[str, Any]:
    """Agreement of prompt, labels and picture on people that were not learnt from.

    Every configuration is told in held-out wording, and shown by one person; `PER_PERSON` prompts
    are told about each person.

    Args:
        describer: trained.
        project: generator, editor to compare with, and datasets.
        people: rows of the identity bank that were not learnt from.
        intensity: smallest and largest intensity of an active AU.
        seed: seed of prompts and noise.
    """
    oracle = AUOracle.load(ORACLE, str(project.generator.device))
    person = np.repeat(people, PER_PERSON)
    ids = [f"measured/{n}" for n in range(len(person))]
    wanted = draw_configurations(ids, project.editor.aus, intensity, seed + 1)
    sentences = _sentences(wanted, ids, seed)
    generated = describer.generate(sentences, person, ids, seed)
    names = [f"person/{row}" for row in person]
    images = project.decode(generated.codes.z, names, seed, "decode described faces")
    readings, embeddings = oracle.predict_with_embeddings(images)
    exemplars = describer.bank.z[person]
    edited = project.editor.edit_codes(
        Codes(exemplars), Change.of_neutral(torch.from_numpy(wanted))
    ).z
    linear = project.decode(edited, names, seed, "decode edited faces")
    thresholds = _thresholds(oracle, project.datasets.aus)
    reworded = _sentences(wanted, [f"{name}/again" for name in ids], seed)
    again = describer.generate(reworded, person, ids, seed)
    one = np.arange(len(ids)) % (len(ids) // SHOWN_BY)  # each prompt told about several people
    fixed = describer.generate([sentences[n] for n in one], person, ids, seed)
    return {
        "label_to_prompt": agreement(wanted, generated.aus),
        "oracle_to_prompt": agreement(wanted, readings, thresholds),
        "oracle_to_label": agreement(generated.aus, readings, thresholds),
        "edited_oracle_to_request": agreement(wanted, oracle.predict(linear), thresholds),
        "identity_similarity": identity_similarity(embeddings, person),
        "label_spread_over_people": spread_within(fixed.aus, one),
        "label_change_by_wording": float(np.abs(again.aus - generated.aus).mean()),
        "people": len(people),
        "faces": len(ids),
    }


def _sentences(wanted: np.ndarray, names: Sequence[str], seed: int) -> list[str]:
    """Configurations (N, 12) in held-out wording."""
    return [
        describe(
            Request(dict(zip(AUS, levels.tolist(), strict=True)), {}),
            sample_rng(seed, f"{name}/words"),
            held_out=True,
        )
        for name, levels in zip(names, wanted, strict=True)
    ]


def _thresholds(oracle: AUOracle, dataset: str) -> np.ndarray:
    """Thresholds of the oracle, chosen on validation faces."""
    (val,) = read_splits(dataset, ("val",), ["sample_id", "subject_id", "split", *AUS])
    readings, _ = read_images(oracle.predict_with_embeddings, val)
    return choose_thresholds(val[list(AUS)].to_numpy(float), readings)


def sheet(
    describer: Describer, project: DescriberProject, people: np.ndarray, seed: int
) -> np.ndarray:
    """`PROMPTS`, each shown by the same people, with the labels below, uint8 (H, W, 3)."""
    tables = []
    operator = DescribedFacesOperator(project.generator, describer)
    for number, text in enumerate(PROMPTS):
        plan = plan_described([understand(text)], len(people), describer, seed)
        plan = plan.assign(person=people, sample_id=[f"sheet/{number}/{n}" for n in people])
        faces = operator(plan)
        captions = [active_aus(face) for _, face in faces.iterrows()]
        columns = [f"person {n + 1}" for n in range(len(people))]
        images = decode_images(faces)
        tables.append(gallery_rows(DESCRIBED, [text] * len(people), columns, images, captions))
    gallery = pa.concat_tables(tables).to_pandas()
    return contact_sheet(gallery, DESCRIBED, scale=2, captions=True)
