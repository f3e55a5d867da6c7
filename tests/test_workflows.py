"""The workflows of GitHub Actions: what they run exists, and when they retrain."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)


@each_workflow
def test_actions_are_pinned_to_commits(workflow: Path) -> None:
    uses = re.findall(r"uses: (\S+)", workflow.read_text())
    assert uses and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in uses)


@each_workflow
def test_targets_of_make_exist(workflow: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = set(re.findall(r"run: make ([\w-]+)", workflow.read_text()))
    assert called and called <= targets


@each_workflow
def test_no_text_of_an_event_becomes_part_of_a_command(workflow: Path) -> None:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert [command for command in commands if "${{" in command] == []


def test_retraining_is_triggered_by_all_that_stages_depend_on() -> None:
    # YAML reads the key `on` as true.
    triggers = yaml.safe_load((ROOT / ".github/workflows/retrain.yml").read_text())[True]
    paths = triggers["push"]["paths"]
    assert triggers["pull_request"]["paths"] == paths
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    generated = {
        next(iter(out)) if isinstance(out, dict) else out
        for stage in stages.values()
        for out in stage["outs"]
    }
    # A folder of all stages of a matrix is a dependency as a whole.
    generated |= {out.partition("/${item")[0] for out in generated}
    deps = {dep for stage in stages.values() for dep in stage["deps"]} - generated
    folders = tuple(path.removesuffix("**") for path in paths if path.endswith("/**"))
    assert [dep for dep in sorted(deps) if not f"{dep}/".startswith(folders)] == []
    assert {"params.yaml", "dvc.yaml", "dvc.lock"} <= set(paths)
