"""The describer: faces that do not depend on one another, saving, loading, and what goes wrong."""

import json
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from facsimile.describing import DescribedFacesOperator, Describer, plan_described
from facsimile.describing.measures import agreement, identity_similarity, spread_within
from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.tables import GENERATED_SCHEMA, conform
from facsimile.generator import DiffAEPipeline, InferenceOptions
from facsimile.language import ASKED, WORDS_SCHEMA, understand
from tasks.shared.artefacts import DESCRIBER, GENERATOR
from tests.support.describing import write_describer
from tests.support.editing import write_models

PROMPTS = [understand("marked smile, older men"), understand("AU4C+9D, women with glasses")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    write_models(root)
    write_describer(root)
    return root


@pytest.fixture(scope="module")
def operator(project: Path) -> DescribedFacesOperator:
    options = InferenceOptions("dpm++", 2, 2)
    generator = DiffAEPipeline.from_pretrained(project / GENERATOR, "cpu", options)
    return DescribedFacesOperator(generator, Describer.load(project / DESCRIBER))


def test_plans_have_what_prompts_ask_for(operator: DescribedFacesOperator) -> None:
    plan = plan_described(PROMPTS, 6, operator.describer, seed=3)
    men, women = plan[:6], plan[6:]
    assert ((men["prompt_AU12"] >= 0.5) & (men["prompt_AU12"] < 0.7)).all()
    assert (men[[name for name in ASKED if name != "prompt_AU12"]] == 0).all(axis=None)
    assert (women[["prompt_AU04", "prompt_AU09"]] > 0.4).all(axis=None)
    attributes = operator.describer.bank.attributes.numpy()
    assert (attributes[men["person"], 2] == 1).all() and (
        attributes[men["person"], 3] > 2 / 3
    ).all()
    assert (attributes[women["person"], 2] == 0).all() and (
        attributes[women["person"], 0] == 1
    ).all()
    assert men["description"].nunique() > 3


def test_a_longer_plan_begins_like_a_shorter_one(operator: DescribedFacesOperator) -> None:
    long, short = (plan_described(PROMPTS[:1], n, operator.describer, seed=3) for n in (8, 3))
    pd.testing.assert_frame_equal(long[:3], short)


def test_a_face_does_not_depend_on_its_batch(operator: DescribedFacesOperator) -> None:
    plan = plan_described(PROMPTS, 2, operator.describer, seed=3)
    together = operator(plan)
    alone = operator(plan[2:3].reset_index(drop=True))
    assert np.allclose(together["z"][2], alone["z"][0], atol=1e-4)
    assert np.allclose(
        together.loc[2, list(AUS)].astype(float), alone.loc[0, list(AUS)].astype(float)
    )
    assert conform(together, GENERATED_SCHEMA).num_rows == 4
    assert conform(together, WORDS_SCHEMA).num_rows == 4
    assert (together["editor_md5"] == operator.describer.digest).all()


def test_saved_and_loaded(operator: DescribedFacesOperator, tmp_path: Path) -> None:
    operator.describer.save(tmp_path)
    again = Describer.load(tmp_path)
    assert again.digest == operator.describer.digest and again.options == operator.describer.options
    people, ids = np.array([3, 5]), ["a", "b"]
    one, other = (
        each.generate(["a marked smile", "no frown"], people, ids, 0)
        for each in (operator.describer, again)
    )
    assert torch.equal(one.codes.z, other.codes.z) and torch.equal(one.codes.x_t, other.codes.x_t)
    assert np.array_equal(one.occurrence, other.occurrence)


def test_another_generator_is_refused(project: Path) -> None:
    with chdir(project):
        generator = DiffAEPipeline.from_pretrained(GENERATOR)
        generator.digest = "0" * 32
        with pytest.raises(FacsimileError, match=r"not 0{32}; train it again: `dvc unfreeze"):
            DescribedFacesOperator(generator, Describer.load(DESCRIBER))


def test_no_describer_and_a_broken_one(project: Path, tmp_path: Path) -> None:
    with pytest.raises(FacsimileError, match="no describer; train it"):
        Describer.load(tmp_path)
    Describer.load(project / DESCRIBER).save(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"options": {}}))
    with pytest.raises(FacsimileError, match="not a describer"):
        Describer.load(tmp_path)


def test_agreement_of_labels_with_prompts() -> None:
    rng = np.random.default_rng(0)
    wanted = (rng.random((200, len(AUS))) < 0.4) * rng.uniform(0.2, 1, (200, len(AUS)))
    same = agreement(wanted, wanted)
    assert same == pytest.approx({"f1": 1, "icc": 1, "pearson": 1, "mae": 0})
    noisy = agreement(wanted, wanted + rng.normal(0, 0.2, wanted.shape), np.full(len(AUS), 0.15))
    assert 0.5 < noisy["icc"] < 0.95 and 0.1 < noisy["mae"] < 0.2


def test_spread_and_identity() -> None:
    values = np.array([[0.0], [1.0], [5.0], [5.0]])
    assert spread_within(values, np.array([0, 0, 1, 1])) == pytest.approx(0.25)
    similar = identity_similarity(np.eye(2)[[0, 0, 1, 1]], np.array([0, 0, 1, 1]))
    assert similar == {"same": 1.0, "different": 0.0}
