"""`edge-agent bench --quick` as a person runs it: every row has a figure or a reason. No time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_every_row_has_a_figure_or_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    file = ROOT / "build" / "bench.json"
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", "bench", "--quick", "--json", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=460,
        check=False,
    )
    with capsys.disabled():
        sys.stdout.write("\n" + done.stdout)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert found["quick"]
    for row in found["rows"]:
        if row["verdict"] == "not measured here":
            assert row["note"], row
        else:
            assert row["figure"] != "-", row
            assert row["values"], row
    judged = {row["what"] for row in found["rows"] if row["verdict"] in {"ok", "over"}}
    assert {"process start to ready", "modules loaded without use", "press_to_light"} <= judged
