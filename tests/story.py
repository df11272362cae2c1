"""The conversation machine in a story with a clock: events in, actions kept, deadlines as they fall due.

story = kiosk()
story.hold(2.0)                 # press, talk, release
story.tell(LinkUp())
story.answer(3.0); story.play_out(3.0)
assert story.state == State.IDLE
"""

from __future__ import annotations

import math
from typing import TypeVar

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.machine import Machine
from edge_agent.conversation.moves import State
from edge_agent.conversation.rules import Rules

A = TypeVar("A")
RATE = 16_000


class Story:
    """A machine with a clock; capture runs with the clock from zero."""

    def __init__(self, **rules: object) -> None:
        self.machine = Machine(Rules(**rules), jitter=lambda: 0.5, strict=True)  # type: ignore[arg-type]
        self.now = 100.0
        self.done: list[do.Action] = []
        self.online = False
        """Connections come up by themselves, half a second after they were wanted."""
        self.sends = True
        """What is asked on an open line is written at once."""
        self._opening: float | None = None
        self._retold = False
        self.tell(ev.Ready())

    @property
    def sample(self) -> int:
        return round(self.now * RATE)

    def tell(self, event: ev.Event) -> list[do.Action]:
        self.last = self.machine.handle(event, self.now)
        self.done += self.last
        asked = any(isinstance(action, do.CloseTurn | do.SendText | do.VoidTurns) for action in self.last)
        if self.machine.connected and (asked or isinstance(event, ev.LinkUp)) and self.sends:
            self.done += self.machine.handle(ev.QuestionSent(), self.now)
        for action in self.last:
            if isinstance(action, do.Connect | do.Disconnect):
                self._opening = self.now + 0.5 if isinstance(action, do.Connect) else None
                self._retold = isinstance(action, do.Connect) and action.retell
        return self.last

    def wait(self, seconds: float) -> None:
        """Let time pass; deadlines come as they fall due."""
        end = self.now + seconds
        while (due := self._next()) <= end:
            self.now = max(due, self.now)
            if due == self._opening and self.online:
                self._opening = None
                self.tell(ev.LinkUp(retold=self._retold))
            else:
                self.tell(ev.Tick())
        self.now = end

    def _next(self) -> float:
        deadline = math.inf if self.machine.deadline is None else self.machine.deadline
        return min(deadline, self._opening) if self.online and self._opening is not None else deadline

    def press(self) -> list[do.Action]:
        return self.tell(ev.Pressed(self.sample))

    def release(self) -> list[do.Action]:
        return self.tell(ev.Released(self.sample))

    def hold(self, seconds: float) -> None:
        self.press()
        self.wait(seconds)
        self.release()

    def answer(self, seconds: float = 2.0, *, done: bool = True) -> None:
        """The whole answer comes at once, faster than real time."""
        self.tell(ev.AnswerAudio(seconds * 1000))
        if done:
            self.tell(ev.AnswerGenerated())
            self.tell(ev.AnswerDone())

    def play_out(self, seconds: float = 2.0) -> None:
        self.wait(seconds)
        self.tell(ev.PlaybackEnded(self.sample))
        self.wait(0)

    def of(self, kind: type[A]) -> list[A]:
        return [action for action in self.done if isinstance(action, kind)]

    @property
    def state(self) -> str:
        return self.machine.state


def kiosk(**rules: object) -> Story:
    return Story(manual=True, **rules)


def speaker(**rules: object) -> Story:
    return Story(manual=False, idle_timeout_s=30.0, **rules)


def ready(story: Story) -> Story:
    """A question has been asked by voice, the line is up, and the answer is awaited."""
    story.hold(1)
    story.tell(ev.LinkUp())
    assert story.state == State.THINKING
    return story


def whys(story: Story, event: str = "turn") -> list[str]:
    return [report.why for report in story.of(do.Report) if report.event == event]
