"""Flows over projects whose stages are shell commands: order, retries, leases, caching."""

import logging
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from typer.testing import CliRunner

from cli.app import app
from facsimile.digests import record_digests
from flows import artifacts, conductor, dvc, events, pipeline_run
from flows.alerts import STALLED
from flows.conductor import paper, regenerate, retrain
from flows.device_lease import lease
from flows.graph import read_graph
from flows.mlflow_runs import REASON
from flows.mlflow_store import EXPERIMENT
from flows.model_registry import ModelRegistry
from flows.pipeline_run import PipelineRun, StageReport
from flows.project_lock import project_lock
from tests.support.detectors import train, write_faces
from tests.support.files import cached, rot
from tests.support.prefect_api import events_named
from tests.support.processes import ran, wait_for
from tests.support.project import write_params

pytestmark = pytest.mark.usefixtures("prefect_server", "mlflow_uri")

GPU = {"device": "gpu"}
NOT_LOGGED = (
    "not logged to MLflow at http://127.0.0.1:9: Connection refused; the next run logs it, or "
    "`facsimile sync-mlflow`"
)


def conduct(root: Path, *targets: str) -> dict[str, StageReport]:
    """Run the flow; reports by stage."""
    state = regenerate(targets=list(targets), root=str(root), return_state=True)
    return {report.stage: report for report in state.result(raise_on_failure=False)}


def states(reports: dict[str, StageReport]) -> dict[str, str]:
    return {name: report.state for name, report in reports.items()}


def stage(name: str, *deps: str, cmd: str = "", **options: Any) -> dict[str, Any]:
    """Notes that it runs, does `cmd` and writes its output, which is its name."""
    command = f"echo {name} >> log && {cmd or 'true'} && cat params {' '.join(deps)} > {name}"
    return {"cmd": command, "deps": ["params", *deps], "outs": [name], **options}


def test_stages_run_once_and_after_their_inputs(project: Callable[..., Path]) -> None:
    root = project(c=stage("c", "a", "b"), a=stage("a"), b=stage("b", "a"), d=stage("d"))
    (root / "params").write_text("1\n")
    reported: list[tuple[str, str]] = []
    with events.subscribed(lambda name, state, detail: reported.append((name, state))):
        reports = conduct(root, "c")
    assert states(reports) == dict.fromkeys("abc", "Completed")
    assert ran(root) == ["a", "b", "c"]
    assert "deps" not in reports["c"].reason and reports["b"].seconds > 0
    assert [pair for pair in reported if pair[0] == "b"] == [("b", "running"), ("b", "Completed")]

    # Nothing has changed: no stage process is started.
    assert states(conduct(root, "c")) == dict.fromkeys("abc", "Cached")
    assert ran(root) == ["a", "b", "c"]


def test_stages_of_the_paper_run_only_in_its_flow(project: Callable[..., Path]) -> None:
    for_paper = {"meta": {"paper": True}}
    command = "echo ${item.arm} >> log && mkdir -p data/trials/${item.arm}"
    metrics = """echo '{"loss": 0.5}' > data/trials/${item.arm}/metrics.json"""
    root = project(
        evaluate=stage("evaluate"),
        trials={
            "matrix": {"arm": ["a", "b-2"]},
            "cmd": f"{command} && {metrics}",
            "deps": ["evaluate"],
            "outs": ["data/trials/${item.arm}"],
            **for_paper,
        },
        paper={"cmd": "ls data/trials > paper", "deps": ["data/trials"], "outs": ["paper"]}
        | for_paper,
    )
    (root / "params").write_text("1\n")
    assert states(conduct(root, "evaluate")) == {"evaluate": "Completed"}
    state = paper(root=str(root), return_state=True)
    reports = {report.stage: report for report in state.result(raise_on_failure=False)}
    done = dict.fromkeys(("trials@a", "trials@b-2", "paper"), "Completed")
    assert states(reports) == {"evaluate": "Cached"} | done
    assert reports["trials@b-2"].key_figure == "loss 0.5"
    assert (root / "paper").read_text() == "a\nb-2\n"

    # A change of one arm runs that arm, and what reads it.
    shutil.rmtree(root / "data" / "trials" / "a")
    pipeline = root / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().replace("b-2", "c"))
    state = paper(root=str(root), return_state=True)
    reports = {report.stage: report for report in state.result(raise_on_failure=False)}
    assert states(reports) == {
        "evaluate": "Cached",
        "trials@a": "Cached",  # restored
        "trials@c": "Completed",
        "paper": "Completed",
    }
    assert sorted(ran(root)) == ["a", "b-2", "c", "evaluate"]


def test_detectors_are_registered_by_the_run_that_trains_them(
    project: Callable[..., Path],
) -> None:
    root = project(
        train={"cmd": "cp -r trained data/train", "deps": ["trained"], "outs": ["data/train"]},
        evaluate={"cmd": "touch done", "deps": ["data/train"], "outs": ["done"]},
    )
    write_faces(root)
    train(root)
    (root / "data" / "train").rename(root / "trained")
    assert states(conduct(root, "evaluate")) == dict.fromkeys(("train", "evaluate"), "Completed")
    registry = ModelRegistry(root)
    before = registry.require("challenger")
    run = MlflowClient(registry.store.uri).get_run(before.run)
    assert run.data.tags["mlflow.parentRunId"] and run.data.metrics["validation.f1.mean"] > 0.8

    # Nothing is trained, so nothing is registered; nor without the evaluation.
    conduct(root, "evaluate")
    train(root, inverted=["AU01"])
    shutil.rmtree(root / "trained")
    (root / "data" / "train").rename(root / "trained")
    conduct(root, "train")
    assert registry.require("challenger") == before


def test_a_run_goes_on_if_its_detectors_cannot_be_registered(
    project: Callable[..., Path],
) -> None:
    root = project(
        train={"cmd": "mkdir -p data/train", "outs": ["data/train"]},
        evaluate={"cmd": "touch done", "deps": ["data/train"], "outs": ["done"]},
    )
    assert states(conduct(root, "evaluate")) == dict.fromkeys(("train", "evaluate"), "Completed")
    assert any("detectors not registered: " in note for note in events.take_notes())


def test_stage_made_from_the_same_inputs_before_is_restored(project: Callable[..., Path]) -> None:
    root = project(a=stage("a"))
    for content in "121":
        (root / "params").write_text(content)
        reports = conduct(root, "a")
    assert states(reports) == {"a": "Cached"}
    assert (root / "a").read_text() == "1"
    assert ran(root) == ["a", "a"]


def test_killed_stage_is_retried(project: Callable[..., Path]) -> None:
    # The process itself, not its parent shell, is killed the first time it runs.
    killed = "{ [ -e tried ] || { touch tried; python -c 'import os; os.kill(os.getpid(), 9)'; }; }"
    root = project(a=stage("a", cmd=killed))
    (root / "params").write_text("1")
    assert states(conduct(root, "a")) == {"a": "Completed"}
    assert ran(root) == ["a", "a"]


def test_a_stage_without_progress_is_killed_and_retried(
    project: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    hang = "if [ ! -e hung ]; then touch hung; sleep 600; fi"
    root = project(a=stage("a", cmd=hang))
    (root / "params").write_text("1")
    write_params(root, {"operations": {"stall_minutes": 0.25, "kill_stalled": True}})
    reported: list[str] = []
    with events.subscribed(lambda _, state, detail: reported.append(detail)):
        assert states(conduct(root, "a")) == {"a": "Completed"}
    assert ran(root) == ["a", "a"]
    assert "a: no progress for 0.25 minutes" in reported
    assert "a: killed after 0.25 minutes without progress: retrying" in reported
    wait_for(lambda: bool(events_named(STALLED)))
    (event,) = events_named(STALLED)
    assert event["payload"] == {"text": "a: no progress for 0.25 minutes"}
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(event["resource"]["prefect.resource.id"].rpartition(".")[2])
    assert run.parameters["root"] == str(root)


def test_memory_and_throughput_are_measured(project: Callable[..., Path], mlflow_uri: str) -> None:
    # It holds the memory until it was measured.
    script = (
        "import time; block = b'x' * 300_000_000; "
        "print('a: 1,000 of 1,000 faces, 9/s'); time.sleep(3)"
    )
    root = project(a=stage("a", cmd=f'python -c "{script}"'))
    (root / "params").write_text("1")
    report = conduct(root, "a")["a"]
    assert 300 < report.peak_memory_mb < 1000
    assert 0 < report.faces_per_second < 400
    client = MlflowClient(mlflow_uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    newest = client.search_runs([experiment], "attributes.run_name = 'a'", max_results=1)[0]
    assert newest.data.metrics["peak_memory_mb"] == report.peak_memory_mb


def test_bad_input_is_not_retried_and_stops_dependent_stages(
    project: Callable[..., Path],
) -> None:
    broken = "{ echo 'facsimile: faces.parquet: row 3 column AU04: 7 outside [0, 1]' >&2; exit 2; }"
    root = project(a=stage("a", cmd=broken), b=stage("b", "a"), c=stage("c"))
    (root / "params").write_text("1")
    reports = conduct(root, "b", "c")
    assert states(reports) == {"a": "Failed", "b": "Not run", "c": "Completed"}
    assert reports["a"].reason == "a: faces.parquet: row 3 column AU04: 7 outside [0, 1]"
    assert sorted(ran(root)) == ["a", "c"]


def test_out_of_memory_halves_the_batch(project: Callable[..., Path]) -> None:
    hungry = 'echo "$FACSIMILE_BATCH_SCALE" >> scales && [ "$FACSIMILE_BATCH_SCALE" = 0.25 ]'
    root = project(a=stage("a", cmd=f"{{ {{ {hungry}; }} || exit 75; }}"))
    (root / "params").write_text("1")
    assert states(conduct(root, "a")) == {"a": "Completed"}
    assert (root / "scales").read_text().split() == ["1.0", "0.5", "0.25"]


def test_params_changed_during_a_stage_are_not_recorded_for_it(
    project: Callable[..., Path],
) -> None:
    edited = "sed -i s/0.0055/{}/ params.yaml"
    a = {"cmd": "echo a >> log && cp params.yaml a && cat edit | sh", "params": ["train"]}
    root = project(a={**a, "outs": ["a"]})
    (root / "params.yaml").write_text("train: {lr: 0.0055, scales: [1e-5]}\n")
    (root / "edit").write_text(edited.format("0.0099"))
    reports = conduct(root, "a")
    assert states(reports) == {"a": "Failed"}
    assert "train.lr 0.0055 → 0.0099; run it again" in reports["a"].reason

    # Neither dvc.lock nor the run cache take the one result for that of the other params.
    (root / "edit").write_text("")
    assert states(conduct(root, "a")) == {"a": "Completed"}
    assert ran(root) == ["a", "a"]
    assert "0.0099" in (root / "a").read_text()


def test_params_changed_before_a_stage_end_the_run(project: Callable[..., Path]) -> None:
    change = "echo 'train: {lr: 2}' > params.yaml"
    root = project(
        a={"cmd": f"{change}; echo 1 > a", "outs": ["a"]},
        b={"cmd": "cp a b", "deps": ["a"], "params": ["train"], "outs": ["b"]},
    )
    (root / "params.yaml").write_text("train: {lr: 1}\n")
    reports = conduct(root, "b")
    assert states(reports) == {"a": "Completed", "b": "Failed"}
    assert "train.lr 1 → 2" in reports["b"].reason


def test_runs_in_one_project_queue_up(project: Callable[..., Path]) -> None:
    root = project(a={"cmd": "cp params a", "deps": ["params"], "outs": ["a"]})
    (root / "params").write_text("1")
    reported: list[str] = []
    released = ExitStack()

    def release(stage: str, state: str, detail: str) -> None:
        if state == events.QUEUED:
            reported.append(detail)
            released.close()

    released.enter_context(project_lock(root, "nightly", print))
    with events.subscribed(release):
        assert states(conduct(root, "a")) == {"a": "Completed"}
    assert len(reported) == 1 and reported[0].startswith("waiting for nightly (process ")


def test_sigkill_is_retried_with_a_smaller_batch(
    project: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    dies = "exec python -c 'import os; os.kill(os.getpid(), 9)'"
    command = f'echo "$FACSIMILE_BATCH_SCALE" >> scales; {dies}'
    root = project(a={"cmd": command, "outs": ["a"]})
    reported: list[str] = []
    with events.subscribed(lambda stage, state, detail: reported.append(detail)):
        reports = conduct(root, "a")
    assert (root / "scales").read_text().split() == ["1.0", "0.5", "0.25"]
    again = "a: killed by SIGKILL, possibly out of memory: retrying with half the batch size"
    assert sum(line.startswith(again) for line in reported) == 2
    assert sum(message.startswith(again) for message in caplog.messages) == 2
    assert states(reports) == {"a": "Failed"}
    assert reports["a"].reason.startswith(
        "a: killed by SIGKILL, possibly out of memory; failed 3 times"
    )
    assert "FACSIMILE_BATCH_SIZE" in reports["a"].reason


def test_a_cache_that_is_gone_is_filled_again(project: Callable[..., Path]) -> None:
    root = project(a=stage("a"), b=stage("b", "a"), c=stage("c", "b"))
    (root / "params").write_text("1")
    conduct(root, "c")
    shutil.rmtree(root / ".dvc" / "cache")
    reports = conduct(root, "c")
    assert states(reports) == dict.fromkeys("abc", "Cached")
    assert reports["b"].reason == "unchanged; restored to DVC's cache"
    assert ran(root) == ["a", "b", "c"]
    assert {report.reason for report in conduct(root, "c").values()} == {"unchanged"}

    # An output that is not as it was recorded is made again.
    shutil.rmtree(root / ".dvc" / "cache")
    (root / "b").write_text("another")
    assert states(conduct(root, "c")) == {"a": "Cached", "b": "Completed", "c": "Cached"}
    assert ran(root) == ["a", "b", "c", "b"]


def test_a_stage_restored_from_a_corrupt_cache_runs_again(project: Callable[..., Path]) -> None:
    root = project(a=stage("a"))
    for content in "12":
        (root / "params").write_text(content)
        conduct(root, "a")
    rot(cached(root, "1"))
    (root / "params").write_text("1")
    assert states(conduct(root, "a")) == {"a": "Completed"}
    assert (root / "a").read_text() == "1" and ran(root) == ["a", "a", "a"]
    assert states(conduct(root, "a")) == {"a": "Cached"}


def test_frozen_files_that_are_not_those_recorded(project: Callable[..., Path]) -> None:
    weights = "data/model/weights"
    root = project(
        model={"cmd": "false", "frozen": True, "outs": [{weights: {"cache": False}}]},
        a={"cmd": f"echo a >> log && cp {weights} a", "deps": [weights], "outs": ["a"]},
    )
    (root / weights).parent.mkdir(parents=True)
    (root / weights).write_text("1")
    record_digests(root / "data" / "model", ["weights"])
    assert states(conduct(root, "a")) == {"model": "Cached", "a": "Completed"}
    assert "frozen" in CliRunner().invoke(app, ["status"]).output

    (root / weights).write_text("2")
    for _ in range(2):  # nor is it sound when DVC has seen it before
        reports = conduct(root, "a")
        assert states(reports) == {"model": "Failed", "a": "Not run"}
        assert f"{weights}: does not match SHA256SUMS" in reports["model"].reason
        assert "git checkout -- data/model" in reports["model"].reason
    shown = CliRunner().invoke(app, ["status"]).output
    assert "replaced" in shown and f"{weights}: does not match" in " ".join(shown.split())

    record_digests(root / "data" / "model", ["weights"])
    assert states(conduct(root, "a")) == {"model": "Cached", "a": "Completed"}
    assert ran(root) == ["a", "a"]


def test_leftovers_of_killed_processes_are_removed(project: Callable[..., Path]) -> None:
    root = project(a=stage("a"))
    (root / "params").write_text("1")
    gone = subprocess.Popen(["true"])
    gone.wait()
    (root / "data" / f".other.{gone.pid}.tmp" / "faces").mkdir(parents=True)
    (root / f".dvc.lock.{gone.pid}.tmp").write_text("half")
    (root / "data" / f".other.{os.getpid()}.tmp").mkdir()
    conduct(root, "a")
    assert [path.name for path in root.glob("**/.*.tmp")] == [f".other.{os.getpid()}.tmp"]


def test_nothing_starts_when_the_run_has_ended(project: Callable[..., Path]) -> None:
    root = project(a=stage("a"))
    (root / "params").write_text("1")
    run = PipelineRun(root, read_graph(root), ["a"])
    run.ended = True
    with pytest.raises(dvc.StageError, match="the run has ended"):
        run.check("a")


def test_stage_that_waits_for_a_device_does_not_start_when_the_run_has_ended(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(a=stage("a", meta=GPU))
    (root / "params").write_text("1")
    monkeypatch.setattr(pipeline_run, "get_run_logger", lambda: logging.getLogger())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    run = PipelineRun(root, read_graph(root), ["a"])
    held = ExitStack()
    held.enter_context(lease(run.devices))

    def interrupt(name: str, state: str, detail: str) -> None:
        if state == events.WAITING:
            run.ended = True
            held.close()

    with events.subscribed(interrupt), pytest.raises(dvc.StageError, match="the run has ended"):
        run.reproduce("a")
    assert ran(root) == []


def test_branches_run_side_by_side(project: Callable[..., Path]) -> None:
    def meets(other: str, own: str) -> str:
        return f"touch at-{own} && timeout 60 sh -c 'until [ -e at-{other} ]; do sleep 0.1; done'"

    root = project(a=stage("a", cmd=meets("b", "a")), b=stage("b", cmd=meets("a", "b")))
    (root / "params").write_text("1")
    assert states(conduct(root, "a", "b")) == {"a": "Completed", "b": "Completed"}


def test_one_device_serves_one_stage_at_a_time(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    alone = 'mkdir busy && sleep 0.5 && [ "$CUDA_VISIBLE_DEVICES" = 5 ] && rmdir busy'
    root = project(a=stage("a", cmd=alone, meta=GPU), b=stage("b", cmd=alone, meta=GPU))
    (root / "params").write_text("1")
    assert states(conduct(root, "a", "b")) == {"a": "Completed", "b": "Completed"}


@pytest.fixture
def logged(mlflow_uri: str) -> Callable[[], list[tuple[str, ...]]]:
    """Name, status and reason of runs logged since; those of flows have no name."""
    client = MlflowClient(mlflow_uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    known = (
        {run.info.run_id for run in client.search_runs([experiment.experiment_id])}
        if experiment
        else set()
    )

    def find() -> list[tuple[str, ...]]:
        runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
        # Within one millisecond, a flow begins before its stages.
        runs.sort(key=lambda run: (run.info.start_time, "mlflow.parentRunId" in run.data.tags))
        return [
            (
                run.info.run_name if "mlflow.parentRunId" in run.data.tags else "",
                run.info.status,
                run.data.tags.get(REASON, ""),
            )
            for run in runs
            if run.info.run_id not in known
        ]

    return find


def test_failed_and_retried_stages_are_runs(
    project: Callable[..., Path], logged: Callable[[], list[tuple[str, ...]]]
) -> None:
    killed = "{ [ -e tried ] || { touch tried; python -c 'import os; os.kill(os.getpid(), 9)'; }; }"
    broken = "{ echo 'facsimile: row 3: 7 outside [0, 1]' >&2; exit 2; }"
    root = project(a=stage("a", cmd=killed), b=stage("b", "a", cmd=broken), c=stage("c", "b"))
    (root / "params").write_text("1")
    conduct(root, "c")
    reason = "b: row 3: 7 outside [0, 1]"
    assert logged() == [
        ("", "FAILED", reason),
        ("a", "FAILED", "a: killed by SIGKILL, possibly out of memory"),
        ("a", "FINISHED", ""),
        ("b", "FAILED", reason),
    ]


def test_a_second_flow_is_another_run_of_what_it_ran(
    project: Callable[..., Path], logged: Callable[[], list[tuple[str, ...]]]
) -> None:
    root = project(
        a=stage("a"), b={"cmd": "cat a other > b", "deps": ["a", "other"], "outs": ["b"]}
    )
    for name in ("params", "other"):
        (root / name).write_text("1")
    conduct(root, "b")
    (root / "other").write_text("2")
    conduct(root, "b")
    conduct(root, "b")  # nothing has changed: no run
    assert [(name, status) for name, status, _ in logged()] == [
        ("", "FINISHED"),
        ("a", "FINISHED"),
        ("b", "FINISHED"),
        ("", "FINISHED"),
        ("b", "FINISHED"),
    ]


def test_an_interrupted_flow_leaves_a_killed_run(
    project: Callable[..., Path],
    logged: Callable[[], list[tuple[str, ...]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = project(a=stage("a"))
    (root / "params").write_text("1")

    def interrupt(run: PipelineRun) -> list[StageReport]:
        run.reproduce("a")
        raise KeyboardInterrupt

    monkeypatch.setattr(conductor, "_run_stages", interrupt)
    monkeypatch.setattr(pipeline_run, "get_run_logger", lambda: logging.getLogger())
    graph = read_graph(root)
    monkeypatch.setattr(pipeline_run, "flow_run", SimpleNamespace(id="", name="stopped"))
    with pytest.raises(KeyboardInterrupt):
        conductor._submit(PipelineRun(root, graph, ["a"]))
    assert logged() == [("", "KILLED", "KeyboardInterrupt()"), ("a", "FINISHED", "")]


def test_notes_of_a_run_name_what_is_not_logged_or_published(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(a=stage("a"))
    (root / "params").write_text("1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("too large\nindeed")

    monkeypatch.setattr(artifacts, "create_table_artifact", refuse)
    events.take_notes()
    assert states(conduct(root, "a")) == {"a": "Completed"}
    assert events.take_notes() == [
        "Prefect artifacts not published: stages (too large)",
        f"this run {NOT_LOGGED}",
    ]


@pytest.mark.parametrize("broken", [False, True])
def test_a_command_ends_with_what_is_not_in_mlflow(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    root = project(a=stage("a", cmd="false" if broken else ""))
    (root / "params").write_text("1")
    shutil.copy(Path(__file__).parents[2] / "params.yaml", root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    result = CliRunner().invoke(app, ["run", "a"])
    assert result.exit_code == int(broken)
    assert result.output.splitlines()[-1] == f"facsimile: this run {NOT_LOGGED}"


def test_retrain_uses_the_existing_data(project: Callable[..., Path]) -> None:
    root = project(
        baseline={"cmd": "cp params baseline", "deps": ["params"], "outs": ["baseline"]},
        filter=stage("filter"),
        train={
            "cmd": "cat baseline filter > train",
            "deps": ["baseline", "filter"],
            "outs": ["train"],
        },
        evaluate={"cmd": "cp train evaluate", "deps": ["train"], "outs": ["evaluate"]},
    )
    (root / "params").write_text("1")
    conduct(root, "filter")
    (root / "params").write_text("2")
    state = retrain(root=str(root), return_state=True)
    assert [report.state for report in state.result()] == ["Completed"] * 3
    assert (root / "evaluate").read_text() == "21"
    assert ran(root) == ["filter"]
