"""The service keeps silent, says nothing, too much or nonsense, or has no time; or the clock is wrong."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.heard import verdict
from faults.scene import ANSWERING, Outcome, Scene, answer, play
from harness import coded_noise, find

from edge_agent.simulator import Complete, Hang, Hear, Oversized, Raw, Rule, Script, Stall, Step, Truncated, When

Row = Callable[..., None]
CERTIFICATE = Path(__file__).parents[1] / "live" / "data" / "cert-not-yet-valid.pem"
NO_CHECK_TIME = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME
FIRST = Rule(when=When(session=1, nth=1), steps=(answer(),))


async def ask_and_be_answered(scene: Scene) -> None:
    await scene.talk_begun()
    await scene.ask(2.0)
    scene.fault()
    await scene.answered(within_s=60.0)


@pytest.mark.parametrize(
    ("rung", "rules"),
    [
        ("nudge", (FIRST, Rule(when=When(kind="audio"), steps=(Hang(),)), *ANSWERING)),
        ("known", (FIRST, Rule(when=When(session=1), steps=(Hang(),)), *ANSWERING)),
        ("reopen", (FIRST, Rule(when=When(session=1), steps=(Stall(120.0), Hang())), *ANSWERING)),
    ],
)
def test_an_answer_that_does_not_come_is_gone_after(
    tmp_path: Path, row: Row, rung: str, rules: tuple[Rule, ...]
) -> None:
    row(f"stall-{rung}", play(tmp_path, ask_and_be_answered, script=Script(rules=rules)))


def test_a_new_session_is_told_the_story_when_nothing_else_helps(tmp_path: Path, row: Row) -> None:
    question = "Where is the museum?"
    stalled = (Hear(question), Hang())
    rules = (FIRST, *(Rule(when=When(session=number), steps=stalled) for number in (1, 2)), *ANSWERING)
    told: list[str] = []

    async def story(scene: Scene) -> None:
        await ask_and_be_answered(scene)
        told.extend(entry.text for entry in scene.twin.sessions[2].history)

    outcome = play(tmp_path, story, script=Script(rules=rules))
    assert question in " ".join(told)
    assert "Hello there." in " ".join(told), "and what was said before"
    row("stall-retell", outcome, speech=("told in writing",))


def test_a_service_that_never_answers_is_told_of_and_the_device_is_ready_again(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        await scene.ask(2.0)
        scene.fault()
        await scene.device.event("prompt", within_s=60.0, name="no_answer")
        await scene.at_rest()
        scene.twin._rules.replace(ANSWERING)
        await asyncio.sleep(4.0)  # until the sentence is over
        await scene.ask(2.0)
        await scene.answered()

    outcome = play(tmp_path, story, script=Script(rules=(FIRST, Rule(steps=(Hang(),)))))
    row("stall-tell", outcome, speech=("delivered, not answered", outcome.speech[1]))


def test_an_empty_answer_is_told_of(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        await scene.twin.answer(Complete())
        scene.fault()
        await scene.ask(2.0)
        await scene.device.event("prompt", name="no_answer")
        await scene.at_rest()
        await asyncio.sleep(4.0)
        await scene.ask(2.0)
        await scene.answered()

    row("empty", play(tmp_path, story))


def test_sound_of_a_stopped_answer_that_comes_late_is_never_heard(tmp_path: Path, row: Row) -> None:
    stopped: list[float] = []

    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        await scene.twin.answer(answer(8.0, seed=5, pace=2.0))
        await scene.ask(2.0)
        await scene.device.until(state="speaking")
        await asyncio.sleep(1.5)
        scene.fault()
        said_at = scene.device.now
        await scene.ask(2.0)  # into the answer
        await scene.answered()
        interrupted = scene.twin.session.first("interrupted", after=said_at)
        assert interrupted is not None
        stopped.append(interrupted.t + scene.network.latency_s - scene.device.air.epoch)

    outcome = play(
        tmp_path, story, script=Script(rules=ANSWERING, late_tail=8), mode="speaker", audio={"echo": "hardware"}
    )
    old = coded_noise(8.0, seed=5)[:, 0].astype(np.float64)
    after = round((stopped[0] + 0.02 + 0.04 + 0.01 + 0.03) * 48_000)  # a block, two in the ring, the fade, the filter
    assert loudest_match(outcome, old, round((stopped[0] - 0.5) * 48_000), round(0.4 * 48_000)) > 0.8, "it was playing"
    assert loudest_match(outcome, old, after, round(2.0 * 48_000)) < 0.3
    row("late-tail", outcome)


def loudest_match(outcome: Outcome, old: Any, start: int, count: int) -> float:
    """The best correlation of a tenth of a second of what was played with the old answer."""
    scores = [0.0]
    for at in range(start, start + count, 4_800):
        piece = outcome.played[at : at + 4_800]
        if len(piece) == 4_800 and np.sqrt(np.mean(piece**2)) > 1e-3:
            scores.append(find(piece, old)[1])
    return max(scores)


def test_a_service_without_time_is_asked_again_later(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        scene.twin.refuse_with = 429
        scene.fault()
        asyncio.get_running_loop().call_later(60.0, setattr, scene.twin, "refuse_with", None)
        await scene.ask(2.0)
        await scene.device.until(lambda status: status["state"] in {"idle", "offline", "fault"}, within_s=40.0)
        refused = len(scene.twin.refused)
        await asyncio.sleep(55.0)
        assert len(scene.twin.refused) - refused <= 12, "a service that is asked to wait is not stormed"
        await asyncio.sleep(60.0)
        await scene.ask(2.0)
        await scene.answered()

    outcome = play(tmp_path, story)
    outcome.after_s = None
    row("busy-60", outcome)


def test_a_clock_that_stands_ten_years_back(tmp_path: Path, row: Row) -> None:
    """The service's certificate lies in the future, as it does for whoever lives in the past."""
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(CERTIFICATE)
    trusted = ssl.create_default_context(cafile=str(CERTIFICATE))

    async def story(scene: Scene) -> None:
        scene.fault()
        await scene.ask(2.0)
        await scene.device.until(state="waiting-for-clock", within_s=40.0)
        status = scene.device.status()
        assert status["fault"]["code"] == 2
        await scene.device.event("prompt", name="waiting_for_clock")
        await asyncio.sleep(20.0)
        assert scene.device.state == "waiting-for-clock"
        trusted.verify_flags |= NO_CHECK_TIME  # as good as a clock that has been set right
        await scene.at_rest(within_s=60.0)
        await scene.ask(2.0)
        await scene.answered()

    row("clock", play(tmp_path, story, tls=served, trusted=trusted))


def test_a_proxy_that_blocks_upgrades_costs_the_conversation_not_the_answer(tmp_path: Path, row: Row) -> None:
    in_requests: list[str] = []

    async def story(scene: Scene) -> None:
        scene.twin.blocked_with = 403
        scene.fault()
        await scene.ask(2.0)
        await scene.answered()
        assert scene.twin.requests, "the question went another way"
        in_requests.extend(
            verdict([request.turn.audio for request in scene.twin.requests if request.turn], scene.said[0]).split(",")
        )
        scene.twin.blocked_with = None
        await scene.device.do("end")
        await asyncio.sleep(300.0)  # so long it keeps to the way that works
        await scene.ask(2.0)
        await scene.answered(within_s=90.0)
        assert scene.twin.sessions, "and the next one by the usual one again"

    outcome = play(tmp_path, story)
    assert in_requests[0] == "whole"
    row("blocked", outcome, speech=("in a request", outcome.speech[1]))


def answered_in_spite_of(folder: Path, *steps: Step) -> Outcome:
    """Something strange comes in mid-answer; the next question is answered."""

    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        await scene.twin.answer(answer(1.5, seed=8), *steps)
        await scene.ask(2.0)
        await scene.device.until(state="speaking")
        scene.fault()
        await scene.device.until(lambda status: status["state"] in {"idle", "listening"}, within_s=60.0)
        scene.over()
        await scene.device.until(connected=True)
        await asyncio.sleep(0.5)
        await scene.ask(2.0)
        await scene.answered()

    return play(folder, story)


def test_a_message_that_cannot_be_read_is_passed_over(tmp_path: Path, row: Row) -> None:
    row("frames", answered_in_spite_of(tmp_path, Raw('{"serverContent":{"modelTurn":'), answer(0.5, seed=9)))


def test_a_message_too_large_ends_the_connection_not_the_talk(tmp_path: Path, row: Row) -> None:
    outcome = answered_in_spite_of(tmp_path, Oversized(40_000_000))
    row("oversized", outcome, speech=("was being answered", outcome.speech[1]))


def test_half_a_frame_and_a_cut(tmp_path: Path, row: Row) -> None:
    outcome = answered_in_spite_of(tmp_path, Truncated())
    row("truncated", outcome, speech=("was being answered", outcome.speech[1]))
