"""Train the describer, which generates labelled faces from sentences, and write its checkpoint.

    python -m tasks.describer [--params params.yaml] [--out OUT] [--device DEVICE]

Reads   params.yaml, sections datasets, sampling and describer; data/ingest, data/encode,
        data/neutralizer, data/editor, data/baseline, data/generator, data/oracle.
Writes  OUT/config.json, describer.safetensors, text/, metrics.json, README.md,
        sheet.png.

Frozen in the pipeline, because the checkpoint is shipped. It learns from training people and from
people of the latent prior; everything is chosen on validation people, and the oracle only measures.
"""

import argparse
import json
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import Field, PositiveInt

from facsimile.describing import (
    Describer,
    IdentityBank,
    JointTrainingOptions,
    Narrator,
    TextTrainingOptions,
    TrainingFaces,
    WordEncoder,
    agreed_aus,
    draw_configurations,
    face_mask,
    face_weights,
    realistic_codes,
    told_aus,
)
from facsimile.editing import Change, neutralize
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.tables import to_tensor
from facsimile.files import to_json
from facsimile.filtering import MIN_PEARSON, IdentitySpace
from facsimile.generator import Codes, Generator
from facsimile.language import describe
from facsimile.synthesis import sample_identities
from tasks.helpers.codes import stack_codes
from tasks.helpers.describer_measures import SHOWN_BY, measure, sheet
from tasks.helpers.describer_project import BATCH, DescriberProject
from tasks.helpers.frozen import main
from tasks.params import Section, read_section
from tasks.shared.stage import progress


class DescriberParams(Section):
    """Section `describer` of params.yaml.

    Attributes:
        people_per_cell: people of the identity bank per gender × age group; one in six is kept
            for measuring.
        edits: edited faces of each person to learn from.
        frame_share: one in so many annotated training frames is learnt from.
        intensity: smallest and largest intensity of an edit.
        text: training of the text encoder.
        joint: training of the joint generator.
        measured: people to measure on; each with several prompts.
        seed: seed of people and configurations.
    """

    people_per_cell: PositiveInt = 144
    edits: PositiveInt = 4
    frame_share: PositiveInt = 4
    intensity: tuple[float, float] = (0.2, 1.0)
    text: TextTrainingOptions = TextTrainingOptions()
    joint: JointTrainingOptions = JointTrainingOptions()
    measured: int = Field(60, ge=2, le=400)
    seed: int = 5


def draw_people(project: DescriberProject, per_cell: int, seed: int) -> IdentityBank:
    """Neutral people of the latent prior, balanced over gender and age group.

    Eyeglasses and beard are what the neutralizer reads.
    """
    people = sample_identities(
        project.generator, project.demographics, per_cell, seed=seed, max_draws=200 * per_cell
    )
    neutral = neutralize(project.neutralizer, stack_codes(people["z_sampled"])).z
    with torch.no_grad():
        _, attributes = project.neutralizer(torch.from_numpy(neutral))
    for name in ("eyeglasses", "beard"):
        people[name] = (attributes[:, NUISANCES.index(name)] > 0).float().numpy()
    people.loc[people["male"] == 0, "beard"] = 0.0
    # Rows of all cells alternate, so that any sample of rows is balanced.
    order = people.groupby(["gender", "age_group"]).cumcount().sort_values(kind="stable").index
    return IdentityBank(
        torch.from_numpy(neutral[order]),
        torch.from_numpy(people.loc[order, list(NUISANCES)].to_numpy(np.float32)),
    )


def prepare(
    project: DescriberProject, bank: IdentityBank, learners: np.ndarray, params: DescriberParams
) -> tuple[TrainingFaces, np.ndarray]:
    """Training faces, and their attributes (N, 4).

    Args:
        project: what the pipeline has fitted.
        bank: people of the identity bank.
        learners: rows of the bank to learn from.
        params: how many faces.
    """
    person = np.repeat(learners, params.edits)
    ids = [f"person/{row}/{n % params.edits}" for n, row in enumerate(person)]
    planned = draw_configurations(ids, project.editor.aus, params.intensity, params.seed)
    z = project.editor.edit_codes(
        Codes(bank.z[person]), Change.of_neutral(torch.from_numpy(planned))
    ).z
    frames = project.annotated
    frames = frames[frames.groupby("subject_id").cumcount() % params.frame_share == 0]
    frames = frames.sort_values("subject_id", kind="stable").reset_index(drop=True)
    real = torch.from_numpy(stack_codes(frames["z"]))
    # The exemplar of a frame is another frame of the same person, neutralized.
    neutral = torch.from_numpy(neutralize(project.neutralizer, real.numpy()).z)
    other = frames.groupby("subject_id").cumcount(ascending=False).to_numpy()
    first = frames.groupby("subject_id").ngroup()
    starts = first.drop_duplicates().index.to_numpy()[first]
    exemplars = torch.cat([bank.z[person], neutral[starts + other]])

    names = [f"person/{row}" for row in person] + frames["subject_id"].to_list()
    codes = torch.cat([z, real])
    images = project.decode(codes, names, params.seed, "decode faces to learn from")
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    readings = np.stack(
        [
            (member.predict(images) + member.predict(mirrored)) / 2
            for member in project.readers.members
        ]
    )
    planned = np.concatenate([planned, frames[list(AUS)].to_numpy(np.float32)])
    corrector = project.corrector
    shown = _encode(project.generator, images)
    realistic = realistic_codes(
        shown, stack_codes(project.annotated["z"]), project.annotated["subject_id"].to_numpy()
    )
    identity = IdentitySpace(seed=params.seed).fit(
        stack_codes(project.attributes["z"]), project.attributes["subject_id"].to_numpy()
    )
    weights = face_weights(codes.numpy(), images, face_mask(images.shape[1]))
    faces = TrainingFaces(
        codes,
        exemplars,
        torch.from_numpy(told_aus(planned, readings.mean(0), corrector)),
        torch.from_numpy(
            agreed_aus(
                readings, corrector.thresholds_, corrector.pearson_ >= MIN_PEARSON, realistic
            )
        ),
        torch.from_numpy(weights.astype(np.float32)),
        tuple(
            torch.from_numpy(part.astype(np.float32)) for part in (identity.mean_, identity.basis_)
        ),
    )
    attributes = np.concatenate(
        [bank.attributes.numpy()[person], frames[list(NUISANCES)].to_numpy(np.float32)]
    )
    return faces, attributes


def _encode(generator: Generator, images: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [
            generator.encode(to_tensor(images[start : start + BATCH])).z.cpu().numpy()
            for start in range(0, len(images), BATCH)
        ]
    )


def model_card(params: DescriberParams, metrics: dict[str, Any]) -> str:
    """The README.md of the describer."""
    rows = "\n".join(
        f"| {what} | {row['f1']:.3f} | {row['icc']:.3f} | {row['mae']:.3f} |"
        for what, row in (
            ("labels of the decoder, against the prompt", metrics["label_to_prompt"]),
            ("what the oracle reads, against the prompt", metrics["oracle_to_prompt"]),
            ("what the oracle reads, against the labels", metrics["oracle_to_label"]),
            ("the editor of the pipeline, read by the oracle", metrics["edited_oracle_to_request"]),
        )
    )
    similarity = metrics["identity_similarity"]
    return f"""# Faces and labels from sentences, for the generator of the embedded world

Generates codes of synthetic people together with AU labels, from descriptions. Follows *MAUGen: A
Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label Generation* (Li et al.,
2026); `facsimile/describing` says what differs.

Data: {metrics["learnt_from"]:,} decoded faces, of {metrics["people_learnt_from"]:,} people of the
latent prior, edited to independent AUs, and of annotated training frames of the embedded world (no
photograph of a person). Labels are planned intensities, corrected by the AU detectors of stage
`baseline`.
Training: {params.text.steps:,} steps of the text encoder on descriptions, {params.joint.steps:,}
steps of {params.joint.batch_size} faces of the joint generator ({metrics["parameters"]:,}
parameters), AdamW.
Command: `python -m tasks.describer`, after the stages up to `editor` and `baseline`. Weights are
stored in half precision; the figures below were measured after storing.

Measured on {metrics["faces"]:,} faces of {metrics["people"]:,} other people of the latent prior,
with prompts of independent AUs in wording that was not learnt from (mean over AUs):

| | F1 | ICC(3,1) | MAE |
| --- | --- | --- | --- |
{rows}

One prompt shown by {SHOWN_BY} people: standard deviation of its labels
{metrics["label_spread_over_people"]:.3f}. Another wording of the same prompt changes labels by
{metrics["label_change_by_wording"]:.3f}. Cosine similarity of the oracle's identity embeddings:
{similarity["same"]:.2f} for one person over prompts, {similarity["different"]:.2f} for two people.
"""


def run(arguments: argparse.Namespace) -> None:
    """Train and measure the describer and write its checkpoint."""
    params = read_section(arguments.params, "describer", DescriberParams)
    project = DescriberProject.read(arguments.params, arguments.device)
    bank = draw_people(project, params.people_per_cell, params.seed)
    rows = np.arange(len(bank))
    held_out = rows // 6 % 6 == 5  # whole rounds of the six cells
    faces, attributes = prepare(project, bank, rows[~held_out], params)
    narrator = Narrator(faces.aus.numpy(), attributes, describe, params.seed)
    with progress("train the text encoder", params.text.steps, "steps") as advance:
        encoder = WordEncoder.fit(params.text, advance)
    with progress("train the joint generator", params.joint.steps, "steps") as advance:
        describer = Describer(params.joint).fit(
            faces, narrator, encoder, bank, project.noise, project.generator, advance
        )
    out = arguments.out
    describer.save(out)
    # Measured as shipped: in half precision, loaded from disk.
    shipped = Describer.load(out, arguments.device)
    measured = rows[held_out][: params.measured]
    metrics = measure(shipped, project, measured, params.intensity, params.seed)
    metrics |= describer.metrics_ | {
        "learnt_from": len(faces.z),
        "people_learnt_from": int((~held_out).sum()),
        "agreed_share": float((~faces.agreed.isnan()).float().mean()),
        "parameters": sum(value.numel() for value in describer.model.parameters()),
    }
    (out / "metrics.json").write_text(json.dumps(to_json(metrics), indent=2) + "\n")
    (out / "README.md").write_text(model_card(params, metrics))
    Image.fromarray(sheet(shipped, project, measured[:6], params.seed)).save(out / "sheet.png")


if __name__ == "__main__":
    main("describer", __doc__, run)
