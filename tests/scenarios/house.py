"""A device at home for an afternoon: it lives in virtual time, is asked, commanded, switched off and on again.

    async def story(house: House) -> None:
        await house.talk()                                   # a question, and its answer heard to the end
        await house.ctl("say", text="Dinner is ready.")      # over the control socket, as `edge-agent ctl` does
        assert house.spoke("Dinner is ready.")               # by the device's own voice
        await house.restart()

    live_in(tmp_path, shown, story, script=Script(rules=(answering("Hello."),)))

The wall clock goes with the loop's, and the date is the story's (`house.date`). Everything the device tells is added to
what must not hold its key: control answers, watched events, metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from harness import KEY, coded_answer, control, find, pcm, s16
from numpy.typing import NDArray
from showing import Shown
from virtual.device import VirtualDevice
from virtual.loop import run
from virtual.sound import RATE_HZ, Utterance

from edge_agent import prompts
from edge_agent.agent import alarms, memory
from edge_agent.simulator import Hear, Rule, Say, Script, Twin, When
from edge_agent.simulator.replay import Recording

WALL_S = 1_800_000_000.0
"""The wall clock at the loop's zero: January 2027, later than any check of a clock that was never set."""

SAME = 0.9  # correlation of coded noise that is heard or delivered whole; of another one below 0.2
SAME_VOICE = 0.75  # of a sentence of the device's own, over which a cue may sound; of another one below 0.3

UP = ("open", "resumed", "degraded")
"""How watchers are told of a connection that is up, but for "opening"."""

SAMPLE = re.compile(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? (NaN|[-+0-9.e]+)')
"""A line of the metrics that holds a value."""


def answer(text: str = "Hello there.", *, seconds: float = 1.5, seed: int = 1, **more: Any) -> Say:
    """The step that speaks: coded noise, with these words as its caption."""
    return Say(text, sound=coded_answer(seconds, seed=seed), **more)


def answering(
    text: str = "Hello there.",
    *,
    heard: str = "a question",
    when: When | None = None,
    times: int | None = None,
    **more: Any,
) -> Rule:
    """The rule that understands `heard` and answers it."""
    return Rule((Hear(heard), answer(text, **more)), when=when or When(), times=times)


def voice(text: str) -> NDArray[np.float64]:
    """A sentence in the device's own voice, 48 kHz."""
    with ThreadPoolExecutor(1) as apart:  # it waits for another program, which the loop's own thread may not
        speech = apart.submit(prompts.speak, text, "en").result()
    assert speech is not None, "no espeak-ng on this machine"
    return pcm(s16(pcm(speech.pcm), rate=speech.rate, to_rate=RATE_HZ))


class House:
    """What a story plays with; `device` is another one after `restart`, of `tables` as they are then."""

    def __init__(self, folder: Path, twin: Twin, shown: Shown, tables: dict[str, Any]) -> None:
        self.twin = twin
        self.date = (2027, 1, 15)
        self.folder = folder
        self._shown = shown
        self.tables = tables
        self._life = contextlib.AsyncExitStack()
        (folder / "key").write_text(KEY)
        (folder / "key").chmod(0o600)

    async def switch_on(self) -> None:
        """Start the device."""
        self.device = await self._life.enter_async_context(VirtualDevice(self.folder, self.twin, **self.tables))
        await asyncio.sleep(1.0)

    async def switch_off(self) -> None:
        """End it, in good order."""
        self._account_for_itself()
        self._shown.add("metrics", self.device.agent.metrics.text())
        self._shown.add("watch", [json.dumps(event) for event in self.device.events])
        await self._life.aclose()
        self.device.agent._helpers.shutdown(wait=False)  # a process that ends takes its threads along

    async def restart(self) -> None:
        """Off and on again."""
        await self.switch_off()
        await self.switch_on()

    async def ctl(self, verb: str, **parameters: Any) -> dict[str, Any]:
        """What `edge-agent ctl` is answered; a refusal is an error."""
        told = await self._request(verb, parameters)
        assert told["ok"], told
        return told

    async def refused(self, verb: str, **parameters: Any) -> str:
        """The sentence with which `edge-agent ctl` is refused."""
        told = await self._request(verb, parameters)
        assert not told["ok"], told
        return str(told["error"])

    async def ask(self, seconds: float = 1.5) -> Utterance:
        """Ask something aloud, with the button held; with an open microphone it is opened first."""
        return await self.device.ask(seconds)

    async def answered(self, within_s: float = 30.0) -> None:
        """Wait until an answer begins, and until it has been heard."""
        await self.device.until(state="speaking", within_s=within_s)
        await self.device.until(lambda status: status["state"] != "speaking", within_s=within_s)
        await asyncio.sleep(0.3)

    async def talk(self, seconds: float = 1.5) -> Utterance:
        """Ask something, and hear the answer."""
        said = await self.ask(seconds)
        await self.answered()
        return said

    async def sessions(self, number: int, within_s: float = 60.0) -> None:
        """Wait until the service has so many sessions, and the device stands on the last."""
        await self.twin.wait_for(lambda t: len(t.sessions) >= number and t.session.setup, timeout_s=within_s)
        await self.device.until(connected=True, within_s=within_s)

    def whys(self, event: str) -> list[str]:
        """The reasons that watchers were told with these events."""
        return [one["why"] for one in self.device.events if one["event"] == event]

    def prompted(self) -> list[str]:
        """The names of the sentences the device has spoken of itself, but for its greeting."""
        return [name for _, name in self.device.prompts if name != "ready"]

    def lit(self) -> list[str]:
        """Every light that was shown, in order."""
        return [light for _, light in self.device.lights]

    def figure(self, name: str) -> Any:
        """A figure of the metrics."""
        return self.device.agent.metrics.figures().get(name)

    def spoke(self, text: str) -> bool:
        """True if the loudspeaker has played this sentence in the device's own voice, whole."""
        return self._heard(voice(text), SAME_VOICE)

    def played(self, step: Say) -> bool:
        """True if the loudspeaker has played this answer, whole."""
        assert step.sound is not None
        return self._heard(pcm(s16(pcm(step.sound), rate=24_000, to_rate=RATE_HZ)), SAME)

    def delivered(self, said: Utterance, session: int = -1) -> bool:
        """True if a turn of this session holds what was said, whole."""
        return any(self.heard_in(turn, said) for turn in self.twin.sessions[session].audio_turns)

    def heard_in(self, turn: bytes, said: Utterance) -> bool:
        """True if sound as the service hears it, 16 kHz s16le, holds what was said, whole."""
        return len(turn) // 2 >= len(said.sent) and find(said.sent, pcm(turn))[1] > SAME

    def received(self) -> int:
        """Bytes of microphone sound that ever reached the service."""
        return sum(len(session.audio) for session in self.twin.sessions)

    def told(self) -> str:
        """What happened lately."""
        return self.device.told(self.twin.sessions[-4:])

    def _account_for_itself(self) -> None:
        """Status, watched events and metrics tell the same."""
        events, status, figures = self.device.events, self.device.status(), self.device.agent.metrics.figures()

        assert [one["state"] for one in events if one["event"] == "state"][-1] == status["state"]
        assert self.lit()[-1] == status["light"]
        assert figures.get("turns", 0) == self.whys("turn").count("opened")
        assert figures.get("connections", 0) == sum(
            why.startswith(UP) and why != "opening" for why in self.whys("connection")
        )
        assert figures.get("healing", {}) == Counter(one["step"] for one in events if one["event"] == "healing")
        answered = [one for one in events if one["event"] == "tool" and one["phase"] == "answered"]
        assert sum(figures.get("tool_calls", {}).values()) == len(answered)
        for line in self.device.agent.metrics.text().splitlines():
            assert line.startswith("#") or SAMPLE.fullmatch(line), line

    def _heard(self, wanted: NDArray[np.float64], same: float) -> bool:
        heard = self.device.air.heard
        return len(heard) >= len(wanted) and find(wanted, heard)[1] > same

    async def _request(self, verb: str, parameters: dict[str, Any]) -> dict[str, Any]:
        told = await control(self.device.tree["control"]["socket"], verb, **parameters)
        self._shown.add(f"ctl {verb}", told)
        return told


def live_in(
    folder: Path,
    shown: Shown,
    story: Callable[[House], Awaitable[None]],
    *,
    script: Script | None = None,
    replay: Recording | None = None,
    unforgiven: bool = True,
    **tables: Any,
) -> None:
    """Play a story in virtual time.

    Args:
        folder: for the key, the state and the control socket.
        shown: takes what the device tells.
        story: what happens.
        script: what the service does.
        replay: a recording that the service plays before.
        unforgiven: the service may find no fault with the device.
        tables: of the configuration.
    """

    async def whole() -> None:
        clock = asyncio.get_running_loop().time

        def wall() -> float:
            return WALL_S + clock()

        wished = script or Script(rules=(answering(),))
        async with Twin(wished, key=KEY, clock=clock, replay=replay) as twin:
            house = House(folder, twin, shown, tables)
            with (
                mock.patch("edge_agent.agent.spending.local_date", side_effect=lambda: house.date),
                mock.patch.dict(memory.Memory.__init__.__kwdefaults__, wall=wall),
                mock.patch.dict(alarms.Alarms.__init__.__kwdefaults__, wall=wall),
            ):
                await house.switch_on()
                try:
                    await story(house)
                except (AssertionError, TimeoutError) as error:
                    error.add_note(house.told())
                    raise
                finally:
                    await house.switch_off()
            assert not twin.errors
            if unforgiven:
                assert not [one for session in twin.sessions for one in session.violations]

    run(whole())
