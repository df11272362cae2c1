"""Where the conversation really goes: the machine driven through every course of events that can happen.

    steps = walk()                                              # all ways of taking turns
    steps[State.IDLE, "Pressed", State.LISTENING]               # {"push-to-talk", "open microphone"}

The table of moves says where a rule may end; this finds where it does end, so that the docs can draw it. Only what can
happen is tried: the line comes up after it was opened, answers come while it is up, a button that is down comes up. Of
the faults, those of the microphone and of the line occur, and a stuck button by itself.
Courses that lead to the same facts are followed once, and of a time only whether there is one is a fact; so the walk
ends by itself. A step that hangs on the distance between two times may be missed. What comes from the house
(announcements, alarms, budgets) is independent of much else; it is tried in a walk of its own, against fewer events of
the service. So is what the device hears by itself: once against people and answers, once against writing, tools and
broken parts. Pure; it takes a while.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.healing import Rung
from edge_agent.conversation.line import Link
from edge_agent.conversation.machine import Machine
from edge_agent.conversation.moves import State, find
from edge_agent.conversation.rules import SAMPLE_RATE, Rules
from edge_agent.errors import Fault

MODES: Mapping[str, Rules] = {
    "push-to-talk": Rules(manual=True),
    "open microphone": Rules(manual=False),
    "wake word": Rules(manual=False, detects=True, follow_up_s=8.0, full_duplex=True),
}
"""The ways of taking turns, by name."""

_STEP_S = 0.3  # between two events: longer than a tap, shorter than any deadline

Steps = dict[tuple[State, str, State], frozenset[str]]
"""(from, name of the event, to) -> the modes in which that happens."""


def walk() -> Steps:
    """Return every step from a state to a state, itself included, that some course of events can take."""
    found: Steps = {}
    for mode, rules in MODES.items():
        for possible in (_ears, _ears_beside) if rules.local_voice else (_possible, _household):
            for step in _walk(rules, possible):
                found[step] = found.get(step, frozenset()) | {mode}
    return found


@dataclass(frozen=True, slots=True)
class _World:
    """What the device's surroundings know: they cannot do what does not follow from it."""

    machine: Machine
    now: float = 0.0
    link: Link = Link.DOWN
    down: bool = False
    """The button is held down."""
    calls: bool = False
    """A tool is running."""


def _walk(rules: Rules, possible: Callable[[_World], list[ev.Event]]) -> set[tuple[State, str, State]]:
    first = _World(Machine(rules, jitter=lambda: 0.5, strict=True))
    found: set[tuple[State, str, State]] = set()
    seen: set[Hashable] = {_facts(first)}
    level = [first]
    while level:
        following = []
        for world in level:
            for event in possible(world):
                if find(world.machine.state, event) is None:  # logged, and nothing else
                    found.add((world.machine.state, type(event).__name__, world.machine.state))
                    continue
                after = _happen(world, event)
                found.add((world.machine.state, type(event).__name__, after.machine.state))
                facts = _facts(after)
                if facts not in seen:
                    seen.add(facts)
                    following.append(after)
        level = following
    return found


def _possible(world: _World) -> list[ev.Event]:
    machine, sample = world.machine, round(world.now * SAMPLE_RATE)
    broken = Fault.MICROPHONE in machine.faults
    microphone = ev.FaultCleared(Fault.MICROPHONE) if broken else ev.FaultRaised(Fault.MICROPHONE, "unplugged")
    if machine.state is State.STARTING:
        return [ev.Ready(), microphone]
    events: list[ev.Event] = [
        ev.Released(sample) if world.down else ev.Pressed(sample),
        ev.Unmuted(sample) if machine.muted else ev.Muted(sample),
        ev.TextAsked("?"),
        ev.EndAsked(),
        microphone,
    ]
    if world.link is Link.OPENING:
        events += [ev.LinkUp(), ev.LinkDown(Fault.CLOCK, "not yet valid")]
    if world.link is not Link.DOWN:
        events += [ev.LinkDown(Fault.NETWORK, "cut"), ev.LinkDown(Fault.SERVICE, "refused", final=True)]
    else:
        events.append(ev.NetworkBack())
    if world.link is Link.UP:
        events += [ev.AnswerAudio(500.0), ev.AnswerGenerated(), ev.AnswerDone(), ev.AnswerDone(idle=False)]
        events += [ev.AnswerProgress(), ev.WorkDone(), ev.Interrupted(), ev.Heard(), ev.EndWished()]
        events += [ev.LineLeaving(), ev.LineSlow(), ev.QuestionSent()]
        events += [] if world.calls else [ev.ToolsCalled(1)]
    if world.calls:
        events.append(ev.ToolsSettled(1))
    return events + _due(machine, sample)


def _household(world: _World) -> list[ev.Event]:
    machine, sample = world.machine, round(world.now * SAMPLE_RATE)
    if machine.state is State.STARTING:
        return [ev.Ready()]
    spent = Fault.LIMIT in machine.faults
    events: list[ev.Event] = [
        ev.Released(sample) if world.down else ev.Pressed(sample),
        ev.Announced("Dinner!", listen=True),
        ev.AlarmEnded() if machine.ringing else ev.AlarmRings("tea"),
        ev.BudgetFree() if spent else ev.BudgetSpent("the day's money"),
        ev.EndAsked(),
    ]
    events += [ev.Announced("Dinner!"), ev.BudgetLow("the day's money")] if world.link is not Link.OPENING else []
    if world.link is Link.OPENING:
        events += [ev.LinkUp(), ev.LinkDown(Fault.NETWORK, "cut")]
    if world.link is Link.UP:
        events += [ev.AnswerAudio(500.0), ev.AnswerDone(), ev.Snapshot()]
    return events + _due(machine, sample)


def _ears(world: _World) -> list[ev.Event]:
    machine, sample = world.machine, round(world.now * SAMPLE_RATE)
    if machine.state is State.STARTING:
        return [ev.Ready()]
    events: list[ev.Event] = [
        ev.Released(sample) if world.down else ev.Pressed(sample),
        ev.Unmuted(sample) if machine.muted else ev.Muted(sample),
        ev.EndAsked(),
    ]
    if not machine.muted:
        events += [ev.WakeHeard(sample, "alexa"), ev.StopHeard(sample)]
    if machine.attentive:
        events += [ev.NearEndConfirmed(sample), ev.VoiceStarted(sample), ev.VoiceEnded(sample)]
    if world.link is Link.OPENING:
        events += [ev.LinkUp(), ev.LinkDown(Fault.NETWORK, "cut")]
    if world.link is Link.UP:
        events += [ev.AnswerAudio(500.0), ev.AnswerDone(), ev.QuestionSent(), ev.Heard()]
    return events + _due(machine, sample)


def _ears_beside(world: _World) -> list[ev.Event]:
    machine, sample = world.machine, round(world.now * SAMPLE_RATE)
    broken = Fault.MICROPHONE in machine.faults
    if machine.state is State.STARTING:
        return [ev.Ready()]
    events: list[ev.Event] = [
        ev.FaultCleared(Fault.MICROPHONE) if broken else ev.FaultRaised(Fault.MICROPHONE, "unplugged"),
        ev.TextAsked("?"),
    ]
    if not broken:
        events.append(ev.WakeHeard(sample, "alexa"))
    if machine.attentive:
        events += [ev.NearEndConfirmed(sample), ev.VoiceStarted(sample), ev.VoiceEnded(sample)]
    if world.link is Link.OPENING:
        events.append(ev.LinkUp())
    if world.link is not Link.DOWN:
        events += [ev.LinkDown(Fault.NETWORK, "cut"), ev.LinkDown(Fault.SERVICE, "refused", final=True)]
    if world.link is Link.UP:
        events += [ev.AnswerAudio(500.0), ev.AnswerDone(), ev.QuestionSent(), ev.EndWished()]
        events += [ev.ToolsSettled(1) if world.calls else ev.ToolsCalled(1)]
    if machine.state is State.SPEAKING:
        events.append(ev.Interrupted())
    return events + _due(machine, sample)


def _due(machine: Machine, sample: int) -> list[ev.Event]:
    """What time brings by itself: the end of an answer, a deadline."""
    ends: list[ev.Event] = [ev.PlaybackEnded(sample)] if machine.state is State.SPEAKING else []
    return [*ends, ev.Tick()] if machine.deadline is not None else ends


def _happen(world: _World, event: ev.Event) -> _World:
    machine = _copied(world.machine)
    now = world.now + _STEP_S
    if isinstance(event, ev.Tick) and machine.deadline is not None:
        now = max(now, machine.deadline)
    after = replace(world, machine=machine, now=now)
    match event:
        case ev.Pressed() | ev.Released():
            after = replace(after, down=isinstance(event, ev.Pressed))
        case ev.LinkUp():
            after = replace(after, link=Link.UP)
        case ev.LinkDown():
            after = replace(after, link=Link.DOWN, calls=False)
        case ev.ToolsCalled() | ev.ToolsSettled():
            after = replace(after, calls=isinstance(event, ev.ToolsCalled))
    for action in machine.handle(event, now):
        match action:
            case do.Connect():
                after = replace(after, link=Link.OPENING)
            case do.Disconnect():
                after = replace(after, link=Link.DOWN, calls=False)
    return after


def _copied(machine: Machine) -> Machine:
    """Return a machine of its own: its facts are objects of plain values and lists of them, so copies of these do."""
    twin = object.__new__(type(machine))  # copy.copy would go the long way round through pickling
    vars(twin).update({name: value if type(value) in _PLAIN else _copy(value) for name, value in vars(machine).items()})
    return twin


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind is list or kind is dict:
        return value.copy()
    names = getattr(kind, "__slots__", None)
    if names is None:
        return copy.copy(value)
    twin = object.__new__(kind)
    for name in names:
        one = getattr(value, name)
        object.__setattr__(twin, name, one.copy() if type(one) is list else one)
    return twin


def _facts(world: _World) -> Hashable:
    values = [value for name, value in vars(world.machine).items() if name not in _TOLD]
    return (*_shapes(values), world.link, world.down, world.calls)


def _shapes(values: Iterable[Any]) -> list[Hashable]:
    """Return what decides in each value: flags and names as they are; of numbers and texts only that they are there."""
    return [
        value if (kind := type(value)) in _FLAGS else _THERE if kind in _NUMBERS else _shape(kind, value)
        for value in values
    ]


def _shape(kind: type, value: Any) -> Hashable:
    if kind in {list, tuple, frozenset, Rung}:
        return bool(value)  # whatever is tried for an answer ends alike
    if kind is dict:
        return frozenset(value)
    if callable(value):
        return None
    names = getattr(kind, "__slots__", None) or vars(value)
    return tuple(_shapes([getattr(value, name) for name in names if name not in _TOLD]))


_THERE = "there"
_NUMBERS = {int, float, str}
_FLAGS = {bool, type(None), State, Link}
_PLAIN = _NUMBERS | _FLAGS | {Rules, Rung}
_TOLD = {
    "why",
    "light",
    "_out",
    "_now",
    "rules",
    "_failure",
    "notices",
    "unsaid",
    "slow_line",
    "lost_speech",
    "doubted",
    "understood",
    "wake_owed",
}
"""What the machine tells, or will tell, not what it goes by."""
