"""The pages for owners and technicians: links that lead somewhere, commands that parse, tables that are complete."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from edge_agent import config
from edge_agent.agent import reports
from edge_agent.cli import COMMANDS
from edge_agent.conversation import healing
from edge_agent.conversation.line import BACKOFF_MOST_S, HAND_OVER_S, PATIENCE_S, WANTED_MOST_S
from edge_agent.live.session import BLOCKED_S
from edge_agent.service.metrics import FIGURES, PREFIX
from edge_agent.service.verbs import VERBS

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "hardware.md", *DOCS]
MADE_HERE = {ROOT / "docs/pictures/demo-timeline.png", ROOT / "docs/faults.md"}
"""Made by the demonstration and by the tests of faults; a fresh checkout may not have them."""
OTHER_BLOCKS = {"extending.md"}  # has tests of its own; its blocks are files of several kinds


def words_of(page: Path) -> str:
    """Return a page without its blocks, whose brackets are no links."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return what the headings of a page are linked by, as code hosts form it."""
    headings = re.findall(r"^#+ (.*)$", words_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def blocks(page: Path, kind: str) -> list[str]:
    """Return the blocks of a kind; "" for those without one."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for _, one, text in found if one == kind]


def commands() -> list[tuple[str, list[str]]]:
    """Return every call of edge-agent in the blocks of the pages: where it stands, and its words."""
    found = []
    for page in PAGES:
        for line in "".join(blocks(page, "")).splitlines():
            call = re.match(r"(?:.*[ /])?edge-agent (?=[a-z]+(?: |$))(.*)$", line.strip())
            if call and not line.lstrip().startswith(("sudo c", "#")) and "systemctl" not in line:
                found.append((f"{page.name}: {line.strip()}", shlex.split(call[1], comments=True)))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", words_of(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        goal = (page.parent / name).resolve() if name else page
        assert goal.exists() or goal in MADE_HERE, f"{page.name} points to {target}"
        if anchor and goal.exists():
            assert anchor in anchors(goal), f"{page.name} points to {target}"


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_the_readme_leads_to_every_page_once(page: Path) -> None:
    targets = re.findall(r"\]\((docs/[^)#\s]+\.md)\)", (ROOT / "README.md").read_text())
    assert targets.count(f"docs/{page.name}") == 1


def test_every_command_shown_is_one_the_command_line_takes() -> None:
    shown = commands()
    assert len(shown) > 20
    for where, words in shown:
        assert words[0] in COMMANDS, where
        parser = argparse.ArgumentParser(prog=words[0], exit_on_error=False)
        importlib.import_module(COMMANDS[words[0]].module).add_arguments(parser)
        try:
            parser.parse_args(words[1:])
        except (SystemExit, argparse.ArgumentError) as refused:
            pytest.fail(f"{where}: {refused}")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in OTHER_BLOCKS], ids=lambda page: page.name)
def test_every_configuration_shown_is_accepted(page: Path) -> None:
    for block in blocks(page, "toml"):
        tree = tomllib.loads(block)
        if "turn" not in tree:  # a history, not a configuration
            config.parse(tree, source=page.name)


def test_the_control_page_has_every_verb_and_every_figure() -> None:
    page = (ROOT / "docs/control.md").read_text()
    rows = re.findall(r"^\| (`[^|]*`) \|", page, re.MULTILINE)
    named = {re.split(r"[ \[]", name)[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named >= set(VERBS)
    endings = {"latency": "_ms", "counter": "_total", "gauge": ""}
    for figure in FIGURES.values():
        labels = ", ".join(f"`{label}`" for label in figure.labels)
        assert f"| `{figure.name}{endings[figure.kind]}` | {labels} | {figure.help} |" in page


def test_the_control_page_has_every_event() -> None:
    page = (ROOT / "docs/control.md").read_text()
    table = page.partition("## Events")[2].partition("## Figures")[0]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE))))
    source = "".join(path.read_text() for path in (ROOT / "edge_agent/agent").glob("*.py"))
    told = set(re.findall(r"ublish\(\s*\"(\w+)\"", source)) | reports.LOGGED
    decided = "".join(path.read_text() for path in (ROOT / "edge_agent/conversation").glob("*.py"))
    told |= set(re.findall(r"Report\(\"(\w+)\"", decided)) - {"ignored", "defect"}
    assert len(told) > 15
    assert named >= told


def test_the_healing_page_tells_the_times_that_hold() -> None:
    page = (ROOT / "docs/healing.md").read_text()
    patience_s = config.Config().conversation.answer_timeout_s
    assert f"with its {patience_s:g} s they come after" in page
    after_s = 0.0
    for rung in healing.Rung:
        after_s += healing.wait_s(rung, patience_s)
        following = healing.Rung(rung + 1).name.lower() if rung < max(healing.Rung) else ""
        assert f"| {after_s:g} s | {f'`{following}` ' if following else ''}| " in page
    assert f"{healing.after_sign_s(patience_s):g} s more for the sound" in page
    assert f"at most {PATIENCE_S:g} s old" in page
    assert f"{WANTED_MOST_S:g} s at most while something waits to be sent, {BACKOFF_MOST_S:g} s at rest" in page
    assert "the connection is eight minutes old" in page
    assert config.Config().live.connection_limit_s - HAND_OVER_S == 8 * 60
    assert "the live way again after five minutes" in page
    assert BLOCKED_S == 5 * 60


def test_the_figures_that_the_healing_page_quotes_exist() -> None:
    page = (ROOT / "docs/healing.md").read_text()
    quoted = re.findall(rf"`{PREFIX}(\w+?)(?:_total|_ms)?(?:\{{|`)", page)
    assert len(quoted) > 5
    assert set(quoted) <= set(FIGURES)
