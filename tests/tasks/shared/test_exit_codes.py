import subprocess
import sys
from pathlib import Path

import pytest

from tasks.shared.exit_codes import ExitCode

ROOT = Path(__file__).parents[3]


def test_docs_list_every_exit_status() -> None:
    rows = "".join(f"| {code.value} | {code.meaning} |\n" for code in ExitCode)
    table = f"| status | meaning |\n| --- | --- |\n{rows}\n"
    assert table in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", [ExitCode.BAD_INPUT, ExitCode.OUT_OF_MEMORY])
def test_a_process_ends_with_its_number(code: ExitCode) -> None:
    program = f"from tasks.shared.exit_codes import *; raise SystemExit(ExitCode.{code.name})"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT)
    assert result.returncode == code
