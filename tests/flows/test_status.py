"""Where stages stand, also while they run."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from flows import dvc
from flows.status import StageStatus, stage_states


def test_status_while_a_stage_runs(project: Callable[..., Path]) -> None:
    root = project(
        a={"cmd": "cp in a", "deps": ["in"], "outs": ["a"]},
        b={"cmd": "touch begun && cat gate && cp a b", "deps": ["a"], "outs": ["b"]},
        c={"cmd": "cp b c", "deps": ["b"], "outs": ["c"]},
        d={"cmd": "cp in d", "deps": ["in"], "outs": ["d"]},
    )
    (root / "in").write_text("1")
    dvc.reproduce("a", root, {}, print)
    gate = root / "gate"
    os.mkfifo(gate)
    run = threading.Thread(target=dvc.reproduce, args=("b", root, {}, print))
    run.start()
    try:
        while not (root / "begun").exists():
            run.join(0.05)
            assert run.is_alive()
        states = stage_states(root)
    finally:
        gate.write_text("go")  # opens when the stage reads it
        run.join()
    assert states == [
        StageStatus("a", "up to date"),
        StageStatus("b", "running"),
        StageStatus("c", "behind", "b will run"),
        StageStatus("d", "changed", "never run here"),
    ]
    assert [row.state for row in stage_states(root)] == ["up to date"] * 2 + ["changed"] * 2


def test_outputs_missing_only_from_the_cache_do_not_run(project: Callable[..., Path]) -> None:
    root = project(
        a={"cmd": "cp in a", "deps": ["in"], "outs": ["a"]},
        b={"cmd": "cp a b", "deps": ["a"], "outs": ["b"]},
    )
    (root / "in").write_text("1")
    for name in "ab":
        dvc.reproduce(name, root, {}, print)
    shutil.rmtree(root / ".dvc" / "cache")
    assert [row.state for row in stage_states(root)] == ["uncached"] * 2
    (root / "in").write_text("2")
    assert [row.state for row in stage_states(root)] == ["changed", "behind"]
