"""Which faces each arm of the paper's comparisons is trained on."""

from contextlib import chdir
from pathlib import Path

import pandas as pd
import pytest

from facsimile.faces.origins import ORIGINS, generated_origins
from facsimile.faces.tables import GENERATED_SCHEMA, write_shards
from facsimile.paper import TRIALS, Trial
from tasks.helpers.detectors import COLUMNS
from tasks.helpers.trial_faces import lacks_faces, training_rows
from tasks.shared.artefacts import BALANCED, FILTER, FURTHER, NEUTRAL, PLAIN, POPULATION
from tests.support.faces import face_table

PEOPLE, FRAMES = 8, 10
UNKNOWN = "celeba/1/0"


@pytest.fixture
def real() -> pd.DataFrame:
    return face_table([f"p{person}/{frame}" for person in range(PEOPLE) for frame in range(FRAMES)])


def generated(origin: str, stage: str, kinds: dict[str, str | None]) -> pd.DataFrame:
    """Faces with an AU of 0.4 requested; `kinds`: suffix of the id → edited AU."""
    parts = []
    for source in ("p0/0", UNKNOWN):
        ids = [f"{stage}/{source}/{suffix}" for suffix in kinds]
        edited = list(kinds.values())
        parts.append(face_table(ids, aus=0.4, origin=origin, source_id=source, edited_au=edited))
    return pd.concat(parts)


@pytest.fixture
def project(tmp_path: Path):
    kinds = {"single": "AU04", "mixed": None, "refused": "AU12"}
    accepted = []
    for name, origin in generated_origins().items():
        faces = generated(name, origin.stage, kinds)
        write_shards([faces], tmp_path / "data" / origin.stage / "faces", GENERATED_SCHEMA)
        accepted.append(faces[~faces["sample_id"].str.endswith("refused")].assign(AU04=0.5))
    write_shards(accepted, tmp_path / FILTER / "faces", GENERATED_SCHEMA)
    plain = [generated(name, "plain", {name: "AU04"}) for name in ("edited", "synthetic")]
    write_shards(plain, tmp_path / PLAIN / "faces", GENERATED_SCHEMA)
    neutral = pd.DataFrame({"sample_id": [UNKNOWN]})
    (tmp_path / NEUTRAL).mkdir(parents=True)
    neutral.to_parquet(tmp_path / NEUTRAL / "faces")
    for name in (FURTHER, BALANCED):
        ids = [f"{name}/{person:02d}/{frame}" for person in range(40) for frame in range(FRAMES)]
        write_shards([face_table(ids)], tmp_path / POPULATION / name, GENERATED_SCHEMA)
    with chdir(tmp_path):
        yield tmp_path


def added(name: str, real: pd.DataFrame) -> pd.DataFrame:
    rows = training_rows(TRIALS[name], real, seed=0)
    assert list(rows.columns)[: len(COLUMNS)] == COLUMNS or set(COLUMNS) <= set(rows.columns)
    return rows[~rows["sample_id"].isin(real["sample_id"])]


def kinds(rows: pd.DataFrame) -> set[str]:
    return set(rows["sample_id"].str.rpartition("/")[2])


def test_each_step_of_the_ablation_adds_one_thing(project: Path, real: pd.DataFrame) -> None:
    steps = {name: added(name, real) for name in ("calibrated", "mixed", "unannotated")}
    assert kinds(steps["calibrated"]) == {"single", "refused"}
    assert kinds(steps["mixed"]) == {"single", "mixed", "refused"}
    for name in ("calibrated", "mixed"):
        assert not steps[name]["sample_id"].str.contains(UNKNOWN).any()
    assert steps["unannotated"]["sample_id"].str.contains(UNKNOWN).any()
    filtered, corrected = added("filtered", real), added("corrected", real)
    assert kinds(filtered) == {"single", "mixed"}
    assert set(filtered["sample_id"]) == set(corrected["sample_id"])
    assert set(filtered["AU04"].round(4)) == {0.4}
    assert set(corrected["AU04"].round(4)) == {0.5}
    for rows in (*steps.values(), filtered, corrected):
        assert set(rows["origin"]) == {"edited", "synthetic"}
    everything = added("generated-double", real)
    assert set(everything["origin"]) == set(ORIGINS) - {"real"}
    assert kinds(everything) == {"single", "mixed"}


def test_a_share_of_the_generated_faces(project: Path, real: pd.DataFrame) -> None:
    everything = set(added("generated-double", real)["sample_id"])
    third = set(added("generated-third", real)["sample_id"])
    assert third < everything
    assert len(third) == len(everything) // 3
    assert set(added("generated-eighth", real)["sample_id"]) < third


@pytest.mark.parametrize("name", ["edited", "synthetic"])
def test_single_origins(name: str, project: Path, real: pd.DataFrame) -> None:
    assert set(added(f"{name}-only", real)["origin"]) == {name}
    assert kinds(added(f"plain-{name}", real)) == {name}
    assert {name} < kinds(added("plain", real))


def test_smaller_training_sets_are_nested_and_drawn_by_seed(real: pd.DataFrame) -> None:
    def people(share: float, seed: int) -> set[str]:
        rows = training_rows(Trial("", people=share), real, seed)
        assert len(rows) == FRAMES * rows["subject_id"].nunique()
        return set(rows["subject_id"])

    assert len(people(0.25, 0)) == 2
    assert people(0.25, 0) < people(0.5, 0)
    assert len({frozenset(people(0.5, seed)) for seed in range(5)}) > 1

    frames = training_rows(Trial("", frames=0.3), real, 0)
    assert (frames.groupby("subject_id").size() == 3).all()
    assert frames["subject_id"].nunique() == PEOPLE


def test_further_people(project: Path, real: pd.DataFrame) -> None:
    more = added("people-5", real)
    assert more["subject_id"].nunique() == 4 * PEOPLE
    assert set(more["origin"]) == {"real"}  # pooled with the real faces
    exact = added("further", real)
    assert len(exact) == len(pd.read_parquet(FILTER / "faces"))
    assert "real" not in set(exact["origin"])  # in half of each batch, like generated faces


def test_arms_that_need_further_people_are_known(project: Path) -> None:
    assert not any(map(lacks_faces, TRIALS.values()))
    (project / POPULATION / FURTHER).rename(project / "gone")
    lacking = {name for name, trial in TRIALS.items() if lacks_faces(trial)}
    assert lacking == {"people-2", "people-5", "further", "balanced"}
