"""Fixtures of the scenarios; the device itself is `harness.Device`.

Whatever a scenario is about, it fails if the device's key is shown by anything that it lets out: log records before
they are masked, stdout and stderr, tracebacks, answers of the control socket, watched events, files.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import harness
import pytest
from showing import Shown, forms

from edge_agent.simulator import SyncTwin


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test whose output or traceback shows the key."""
    report = yield
    shown = "\n".join([str(report.longrepr or ""), *(text for _, text in report.sections)])
    if any(form in shown for form in forms(harness.KEY)):
        report.outcome = "failed"
        report.longrepr = "The device's key stands in this test's output or traceback, which is therefore not shown."
        report.sections = []
    return report


@pytest.fixture(autouse=True)
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    """Everything that the devices of a test tell; the key must not be in it."""
    told = Shown()
    ask, quit_ = harness.Device.try_to, harness.Device.quit

    async def overheard(device: harness.Device, verb: str, **parameters: Any) -> dict[str, Any]:
        answer = await ask(device, verb, **parameters)
        told.add(f"ctl {verb}", answer)
        return answer

    async def last_look(device: harness.Device) -> int:
        told.add("metrics", device.agent.metrics.text())
        code = await quit_(device)
        told.add("watch", device.events)
        return code

    monkeypatch.setattr(harness.Device, "try_to", overheard)
    monkeypatch.setattr(harness.Device, "quit", last_look)
    with told.listening():
        yield told
    told.files(tmp_path)
    found = told.of(harness.KEY)
    if found:
        pytest.fail("The device's key was shown: " + "; ".join(found).replace(harness.KEY, "***"))


@pytest.fixture
def twin() -> Iterator[SyncTwin]:
    """A twin that answers every turn; `twin.answer(...)` and `twin.twin.script` steer it."""
    with SyncTwin() as running:
        yield running
        assert not running.twin.errors
