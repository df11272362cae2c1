"""The printed light card and the fault table: they say what the light really does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from edge_agent.errors import Fault
from edge_agent.panel import patterns

ROOT = Path(__file__).parent.parent


def test_the_card_shows_the_patterns_as_they_are() -> None:
    answer = subprocess.run(
        [sys.executable, str(ROOT / "scripts/make-light-card"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


def test_the_card_has_a_row_for_every_pattern() -> None:
    card = (ROOT / "docs/pictures/light-card.svg").read_text()
    labels = set(re.findall(r'font-weight="600">([^<]+)</text>', card))
    assert labels >= {name.replace("-", " ") for name in patterns.NAMES if name != "off"}
    assert labels >= {"1 blink"} | {f"{fault.value} blinks" for fault in Fault if fault.value > 1}


def test_every_sentence_of_the_card_ends_on_the_card() -> None:
    card = (ROOT / "docs/pictures/light-card.svg").read_text()
    wide = re.search(r'viewBox="0 0 (\d+)', card)
    sentences = re.findall(r'<text x="(\d+)" y="\d+" font-size="13">([^<]+)</text>', card)
    assert wide is not None
    assert sentences
    for x, sentence in sentences:  # a letter of this font and size is 7 px wide on average, by a picture of the card
        assert int(x) + 7 * len(sentence) <= int(wide[1]), f"{sentence!r} runs over the edge"


def test_the_hardware_page_explains_every_fault() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", (ROOT / "hardware.md").read_text(), re.MULTILINE)
    explained = {int(number): name for number, name, _ in rows}
    assert sorted(explained) == [fault.value for fault in Fault]
    for fault in Fault:
        word = fault.name.lower().split("_")[0]
        assert word in explained[fault.value], f"fault {fault.value} is {fault.name}"
