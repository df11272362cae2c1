"""The page on costs: its table is what the account itself computes from the default prices, and its settings exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from edge_agent import config as settings
from edge_agent.agent.spending import limits, prices
from edge_agent.config import Config
from edge_agent.conversation.budget import Ledger
from edge_agent.live.events import Usage
from edge_agent.live.models import profile_for
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.setup import build_setup

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/costs.md").read_text()

QUESTION_S, ANSWER_S = 8, 12
PER_SECOND = 25  # tokens, both ways
STILL = 258  # tokens, at the most
THOUGHTS = 100  # tokens per answer; assumed
INSTRUCTION = 1000  # tokens of text, about two pages
ANSWER_BYTES_PER_S = 48_000 * 4 / 3 * 1.01  # 24 kHz, 16 bits, in base64; its JSON is about a hundredth


def cost(turns: int, *, text: int = INSTRUCTION, stills: int = 0, cut: tuple[int, int] | None = (25_000, 8_000)) -> str:
    """Return what a conversation costs, as the table writes it. The whole context is billed with every turn."""
    account = Ledger(prices(Config()), limits(Config()))
    sound = seen = 0
    for _ in range(turns):
        sound += QUESTION_S * PER_SECOND
        seen += stills * STILL
        if cut and text + sound + seen > cut[0]:
            kept = cut[1] / (sound + seen)
            sound, seen = round(sound * kept), round(seen * kept)
        answer = ANSWER_S * PER_SECOND
        account.new_line()
        account.spend(
            Usage(
                prompt=text + sound + seen,
                response=answer,
                thoughts=THOUGHTS,
                prompt_by_modality={"TEXT": text, "AUDIO": sound, "IMAGE": seen},
                response_by_modality={"AUDIO": answer},
            )
        )
        sound += answer
    return f"{account.day.money:.3f}" if account.day.money < 1 else f"{account.day.money:.2f}"


def bytes_per_s(message_ms: int) -> float:
    """Return what a second of speech takes on the line: JSON, base64 and the WebSocket's frames."""
    profile = profile_for("gemini-3.8-live")
    protocol = LiveProtocol(
        build_setup(model="gemini-3.8-live", profile=profile, handle=None, manual_turns=True), profile
    )
    protocol.receive('{"setupComplete":{}}')
    frame = protocol.audio(bytes(32 * message_ms))
    return (len(frame) + 8) * 1000 / message_ms  # 4 bytes of header and length, 4 of mask


ROWS = {
    "one question": cost(1),
    "a visitor at a kiosk: 6 questions": cost(6),
    "the same, with a still in every turn": cost(6, stills=1),
    "the same, with 10 000 tokens of knowledge in the persona folder": cost(6, text=11_000),
    "an evening in the living room: 60 questions": cost(60),
    "the same, without cutting the context": cost(60, cut=None),
}


@pytest.mark.parametrize("what", ROWS)
def test_the_table_holds_what_the_account_computes(what: str) -> None:
    assert f"| {what} | {ROWS[what]} |" in PAGE


def test_the_page_names_the_data_of_a_talk() -> None:
    for message_ms in (40, 80):
        assert f"{bytes_per_s(message_ms) / 1000:.0f} kB" in PAGE
    visitor = 6 * (QUESTION_S * bytes_per_s(40) + ANSWER_S * ANSWER_BYTES_PER_S) / 1e6
    assert f"about {visitor:.0f} MB" in PAGE


def test_the_page_names_settings_that_exist_and_the_prices_in_force() -> None:
    known = {entry.key: entry for entry in settings.settings(Config())}
    named = set(re.findall(r"`((?:budget|link|camera|live)\.\w+)`", PAGE))
    assert named
    assert named <= known.keys()
    for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL):
        settings.parse(tomllib.loads(block), source="docs/costs.md")
    for name in ("audio_in", "audio_out", "image_in", "text_in", "text_out", "search"):
        value = getattr(Config().budget, name)
        assert re.search(rf"\| `{name}` \|.*\| {value:.2f} \|", PAGE), name


@pytest.mark.parametrize("name", ["kiosk", "field"])
def test_the_examples_have_caps_that_leave_room_for_a_day_of_visitors(name: str) -> None:
    example = settings.load(ROOT / f"docs/examples/{name}.toml")
    caps = limits(example)
    visitor = float(cost(6))
    assert 0 < caps.soft_per_day < caps.hard_per_day < caps.hard_per_month
    assert caps.soft_per_day > 20 * visitor
    if name == "field":
        assert example.link.metered
        assert not example.live.prewarm
        calls = 6 * (QUESTION_S * bytes_per_s(example.live.message_ms) + ANSWER_S * ANSWER_BYTES_PER_S)
        assert caps.bytes_per_day > 20 * calls
