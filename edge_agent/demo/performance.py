"""The play: what happens in the demonstration, step by step, each told in one line.

    performance = Performance(stage)
    performance.run()        # Missed: a step did not happen, with a sentence

Every step waits for what must follow (the answer's state, the closed connection), so the play is as fast as the device.
What was promised beyond that is judged afterwards, from what was recorded; see `checks`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

from edge_agent.demo.air import Air, Spoken
from edge_agent.demo.journal import Entry, Journal
from edge_agent.demo.speech import UTTERANCES
from edge_agent.errors import AgentError

ANSWER_S = 12.0  # a recogniser on a Pi and a cold connection are within it
EARLY_S = 0.12  # the visitor's voice begins this long before the button is down
HURRIED_S = 0.15  # after the last word, before the button is let go
LISTEN_S = 3.0  # of the story before the visitor has had enough
PAUSE_S = 1.2  # between two steps, for the ear and the eye
BRISK_S = 0.5  # the same, where places in a file are fixed


class Missed(AgentError):
    """A step of the demonstration did not happen."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step: its name in the results and the line that tells it."""

    name: str
    line: str


STEPS: tuple[Step, ...] = (
    Step("question", "A visitor holds the button and asks for the time; she begins to speak before it is fully down."),
    Step("picture", "She asks what the device sees; a still from the camera goes along with the question."),
    Step("interruption", "She asks for a story, has heard enough, and presses the button in mid answer."),
    Step(
        "reconnect", "The line is cut while she speaks; the device comes back, sends her question whole, and answers."
    ),
    Step("mute", "Mute: she presses and speaks, and not one byte goes up."),
    Step("goodbye", "The visit ends, everything of it is wiped; the next visitor meets a device that knows nothing."),
)


class Stage(Protocol):
    """What the play needs: sound, the device, the service, and the journal they all write in."""

    journal: Journal
    air: Air

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a control request to the daemon."""
        ...

    def expect(self, name: str) -> None:
        """Tell the service which utterance comes."""
        ...

    def cut(self) -> None:
        """Cut the service's connections."""
        ...


class Performance:
    """See the module's docstring."""

    def __init__(self, stage: Stage, *, pause_s: float = PAUSE_S) -> None:
        self._stage = stage
        self._journal = stage.journal
        self._pause_s = pause_s

    def run(self) -> None:
        """Play every step.

        Raises:
            Missed: a step did not happen; the sentence says which and what was missing.
        """
        for step in STEPS:
            self._journal.add("demo", "step", name=step.name, line=step.line)
            try:
                getattr(self, f"_{step.name}")()
            except AgentError as error:
                self._journal.add("demo", "missed", name=step.name, why=str(error))
                raise Missed(f"{step.name}: {error}") from error
            self._journal.add("demo", "done", name=step.name)
            time.sleep(self._pause_s)

    def _question(self) -> None:
        self._ask("time", early=True)

    def _picture(self) -> None:
        self._ask("see", early=True)

    def _interruption(self) -> None:
        self._hold("story")
        began = self._until_state("speaking", "the story did not begin")
        self._stage.air.approach("day", 0.25)
        time.sleep(max(0.0, began.t + LISTEN_S - time.monotonic()))
        self._hold("day", waiting=True)
        self._answered()

    def _reconnect(self) -> None:
        self._stage.expect("joke")
        self._stage.air.approach("joke", EARLY_S)
        spoken = self._say("joke")
        self._button(down=True)
        time.sleep(max(0.0, spoken.start + 0.55 - time.monotonic()))
        cut = self._journal.add("demo", "cut", why="the service's side of the line is cut")
        self._stage.cut()
        self._release_after(spoken)
        back = self._journal.wait(
            lambda e: e.source == "device" and e.event == "connection" and e.fields.get("why") == "resumed",
            after=cut.t,
            timeout_s=ANSWER_S,
        )
        if back is None:
            raise Missed(self._why("the device did not come back"))
        self._answered()

    def _mute(self) -> None:
        self._stage.call({"do": "mute"})
        time.sleep(0.3)
        self._stage.expect("who")
        spoken = self._say("who")
        self._button(down=True)
        self._release_after(spoken)
        self._silent_for(1.0)
        self._stage.call({"do": "unmute"})

    def _goodbye(self) -> None:
        ended = time.monotonic()
        self._stage.call({"do": "end"})
        closed = self._journal.wait(
            lambda e: e.source == "twin" and e.event == "closed", after=ended, timeout_s=ANSWER_S
        )
        if closed is None:
            raise Missed(self._why("the connection was not closed at the end of the visit"))
        time.sleep(self._pause_s)
        self._ask("hello", early=True)

    def _ask(self, name: str, *, early: bool) -> None:
        self._hold(name, early=early)
        self._answered()

    def _hold(self, name: str, *, early: bool = False, waiting: bool = False) -> None:
        """Hold the button over an utterance; `early`: the voice begins before it, `waiting`: its place was awaited."""
        self._stage.expect(name)
        if not waiting:
            self._stage.air.approach(name, 0.0 if early else 0.25)
        if early:
            spoken = self._say(name)
            time.sleep(max(0.0, spoken.start + EARLY_S - time.monotonic()))
            self._button(down=True)
        else:
            self._button(down=True)
            spoken = self._say(name)
        self._release_after(spoken)

    def _say(self, name: str) -> Spoken:
        spoken = self._stage.air.speak(name)
        utterance = UTTERANCES[name]
        seconds = round(spoken.end - spoken.start, 3)
        fields = {"name": name, "text": utterance.text, "speaker": utterance.speaker, "seconds": seconds}
        self._journal.add("person", "says", t=spoken.start, **fields)
        return spoken

    def _release_after(self, spoken: Spoken) -> None:
        time.sleep(max(0.0, spoken.end + HURRIED_S - time.monotonic()))
        self._button(down=False)

    def _button(self, *, down: bool) -> None:
        name = "press" if down else "release"
        self._journal.add("person", name)
        self._stage.call({"do": name})

    def _answered(self) -> None:
        """Wait for the answer to begin and to end."""
        began = self._until_state("speaking", "no answer came")
        ended = self._journal.wait(
            lambda e: e.source == "device" and e.event == "state" and e.fields.get("state") == "idle",
            after=began.t,
            timeout_s=30.0,  # the longest answer of the demo is 20 s
        )
        if ended is None:
            raise Missed(self._why("the answer did not end"))

    def _until_state(self, state: str, otherwise: str) -> Entry:
        after = self._last("release")
        entry = self._journal.wait(
            lambda e: e.source == "device" and e.event == "state" and e.fields.get("state") == state,
            after=after,
            timeout_s=ANSWER_S,
        )
        if entry is None:
            raise Missed(self._why(otherwise))
        return entry

    def _silent_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._journal.failure:
            time.sleep(0.05)

    def _last(self, event: str) -> float:
        return max((e.t for e in self._journal.entries() if e.source == "person" and e.event == event), default=0.0)

    def _why(self, missing: str) -> str:
        return f"{missing}; {self._journal.failure}" if self._journal.failure else missing
