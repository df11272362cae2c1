"""The promises of privacy and silence, over any order of events: machine, gate and playback together, in virtual time.

The plumbing below is what `agent` does with actions, reduced to what the promises are about: a ring filled with coded
sound, the gate, and a playback queue that remembers which answer each piece belongs to.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_agent.audio.ring import CaptureRing
from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.answer import DISCARD_MOST_S, DISCARD_S
from edge_agent.conversation.machine import Machine
from edge_agent.conversation.moves import State
from edge_agent.conversation.rules import Rules
from edge_agent.errors import Fault
from edge_agent.live.uplink import Mark, Picture, Sound, Uplink

RATE = 16_000
BLOCK = 320
MOST_TICKS = 5  # deadlines that can be due in one moment
MOST_CONNECTS = 40  # that nobody asked for by hand, in a minute of everything at once
PEOPLE = (
    ev.Pressed,
    ev.Released,
    ev.TextAsked,
    ev.EndAsked,
    ev.Announced,
    ev.Unmuted,
    ev.BudgetFree,
    ev.WakeHeard,
    ev.VoiceStarted,
    ev.NearEndConfirmed,
)
LEFT_ALONE_S = 700  # the longest conversation, and what may follow it
TALKING_LIGHTS = {
    "listening",
    "connecting",
    "thinking",
    "degraded",
    "speaking",
    "ringing",
    "healing-1",
    "healing-2",
    "healing-3",
}


class Device(RuleBasedStateMachine):
    """One device, driven by people, the network, the service and time, in any order."""

    @initialize(
        mode=st.sampled_from(["kiosk", "speaker", "hook", "home", "home"]),
        prewarm=st.booleans(),
        holds=st.booleans(),
        full_duplex=st.booleans(),
    )
    def begin(self, mode: str, prewarm: bool, holds: bool, full_duplex: bool) -> None:
        manual = mode == "kiosk"
        self.now = 10.0
        self.ring = CaptureRing()
        self.uplink = Uplink(self.ring, manual=manual)
        self.machine = Machine(
            Rules(
                manual=manual,
                hook=mode == "hook",
                prewarm=prewarm,
                max_turn_s=20.0,
                answer_timeout_s=5.0,
                holds=holds,
                connection_limit_s=30.0,
                remember_s=0.0 if manual else 20.0,
                detects=mode == "home",
                follow_up_s=4.0,
                full_duplex=full_duplex,
            ),
            jitter=lambda: 0.5,
            strict=True,
        )
        self.link = "down"
        self.intervals: list[list[float]] = []
        self.playing: deque[tuple[int, float]] = deque()
        self.answer = 0
        self.stopped: set[int] = set()
        self.server_open = False
        self.tail_at = 0.0
        self.asked_at = float("inf")
        self.held = self.spent = self.hushed = False
        self.connects: deque[float] = deque()
        self.tell(ev.Ready())

    def tell(self, event: ev.Event) -> None:
        self.step(event)
        for _ in range(MOST_TICKS):
            if self.machine.deadline is None or self.machine.deadline > self.now:
                return
            self.step(ev.Tick())
        pytest.fail(f"a deadline is due again and again after {event}")

    def step(self, event: ev.Event) -> None:
        actions = self.machine.handle(event, self.now)
        if any(isinstance(one, do.Report) and "did not come back in time" in one.why for one in actions):
            assert any(isinstance(one, do.Say) for one in actions), "speech was dropped and nobody told"
        for action in actions:
            self.carry_out(action, event)

    def carry_out(self, action: do.Action, event: ev.Event) -> None:  # noqa: C901, PLR0912, PLR0915  one case for each action
        match action:
            case do.Connect():
                assert self.link == "down", "two connections at once"
                self.link = "opening"
                if not isinstance(event, PEOPLE):
                    self.count_connect()
            case do.Disconnect():
                self.link = "down"
                self.uplink.link_down()
                self.server_open = False
                self.answer += 1
            case do.OpenTurn(turn, start):
                assert not self.machine.muted, "a turn opened while muted"
                assert not self.spent, "a turn opened on a budget that is used up"
                start = self.ring.written if start is None else start
                noticed = 2.5 if isinstance(event, ev.VoiceStarted | ev.NearEndConfirmed) else 0.0
                earliest = self.ring.written - (1 + noticed) * RATE
                assert earliest <= start <= self.ring.written, "a turn reaches back to before it"
                assert not self.uplink.turn_open, "two turns at once"
                self.hushed = False
                self.uplink.open(turn, start)
                self.intervals.append([start, float("inf")])
            case do.CloseTurn(_, end):
                end = self.ring.written if end is None else end
                assert self.uplink.turn_open, "a turn was closed twice"
                self.uplink.close(end)
                self.intervals[-1][1] = max(end, self.intervals[-1][0])
                if self.machine.rules.manual:
                    self.asked_at = self.now
            case do.Hold(on):
                assert on is not self.held, "held back twice, or let go twice"
                self.held = on
                self.uplink.hold(on=on)
            case do.SendText():
                assert self.link == "up"
                self.asked_at = self.now
                self.hushed = False
            case do.VoidTurns():
                if self.machine.rules.manual and self.uplink.turn_open:
                    self.asked_at = self.now
                self.uplink.void()
                self.intervals.clear()
            case do.Wipe():
                self.uplink.forget()
                self.ring.wipe()
                self.hushed = False
                self.intervals.clear()
            case do.Play():
                assert isinstance(event, ev.AnswerAudio)
                assert self.answer not in self.stopped, "sound of a stopped answer was queued"
                assert not self.hushed, "somebody said stop, and nobody asked again"
                self.playing.append((self.answer, event.ms / 1000))
            case do.Flush():
                self.stopped |= {answer for answer, _ in self.playing}
                self.playing.clear()
                if self.server_open:
                    self.stopped.add(self.answer)
                    self.tail_at = self.now
                    self.asked_at = float("inf")
            case _:
                pass
        self.drain()

    def count_connect(self) -> None:
        self.connects.append(self.now)
        while self.connects[0] < self.now - 60:
            self.connects.popleft()
        assert len(self.connects) <= MOST_CONNECTS, "connection upon connection"

    def drain(self) -> None:
        while (item := self.uplink.pull()) is not None:
            if isinstance(item, Mark):
                continue
            start, end = (item.start, item.end) if isinstance(item, Sound) else (item.sample, item.sample + 1)
            assert any(a <= start and end <= b for a, b in self.intervals), "a byte passed outside every turn"
            known = self.ring.oldest <= start and end <= self.ring.written
            assert known or isinstance(item, Picture)
            assert not known or not self.ring.muted(start, end), "a byte passed that was captured muted"
            assert self.link == "up"
            self.passed = True

    @rule(tenths=st.integers(1, 60))
    def time_passes(self, tenths: int) -> None:
        for _ in range(tenths):
            self.now += 0.1
            for _ in range(5):
                self.ring.append(np.full(BLOCK, 7, np.int16), muted=self.machine.muted)
            self.play(0.1)
            self.tell(ev.Tick())
            light = self.machine.light
            self.passed = False
            self.drain()
            if self.passed:
                assert light in TALKING_LIGHTS, f"sound passed under the light {light}"

    def play(self, seconds: float) -> None:
        while self.playing and seconds > 0:
            answer, left = self.playing[0]
            assert answer not in self.stopped, "an old answer sounded"
            used = min(left, seconds)
            seconds -= used
            if left - used < 1e-9:
                self.playing.popleft()
                if not self.playing:
                    self.tell(ev.PlaybackEnded(self.ring.written))
            else:
                self.playing[0] = (answer, left - used)

    @rule()
    def press(self) -> None:
        ringing, turns = self.machine.ringing, self.machine.turns
        self.tell(ev.Pressed(self.ring.written))
        assert not self.machine.ringing
        assert self.machine.rules.hook or not ringing or self.machine.turns == turns, "it only stops the alarm"

    @rule()
    def the_wake_word(self) -> None:
        turns = self.machine.turns
        rules = self.machine.rules
        only_alarm = self.machine.muted or self.machine.ringing or rules.hook or rules.manual
        self.tell(ev.WakeHeard(self.ring.written, "okay nabu"))
        if self.machine.rules.local_voice:
            assert self.machine.turns == turns, "nobody has said anything yet"
        assert only_alarm or not self.playing

    @rule()
    def the_word_stop(self) -> None:
        sounded = bool(self.playing)
        self.tell(ev.StopHeard(self.ring.written))
        if sounded and not self.playing and self.machine.rules.local_voice:
            self.hushed = True
            assert not self.machine.attentive

    @rule(back=st.integers(0, RATE))
    def a_voice_over_the_answer(self, back: int) -> None:
        """Told late now and then: the device may have been muted, or hung up, meanwhile."""
        attentive, sounding = self.machine.attentive, self.machine.state is State.SPEAKING
        self.tell(ev.NearEndConfirmed(max(0, self.ring.written - back)))
        assert not (attentive and sounding and self.playing), "it talks on"

    @rule(back=st.integers(0, RATE))
    def a_voice(self, back: int) -> None:
        self.tell(ev.VoiceStarted(max(0, self.ring.written - back)))

    @rule()
    def the_voice_ends(self) -> None:
        self.tell(ev.VoiceEnded(max(0, self.ring.written - RATE)))

    @rule()
    def release(self) -> None:
        self.tell(ev.Released(self.ring.written))

    @rule()
    def mute(self) -> None:
        self.tell(ev.Muted(self.ring.written))
        assert not self.machine.turn_open
        assert not self.uplink.turn_open

    @rule()
    def unmute(self) -> None:
        self.tell(ev.Unmuted(self.ring.written))

    @rule()
    def end(self) -> None:
        self.tell(ev.EndAsked())

    @rule()
    def type_something(self) -> None:
        self.tell(ev.TextAsked("hello"))

    @rule(back=st.integers(0, 32_000))
    def still(self, back: int) -> None:
        self.uplink.offer(Picture(max(0, self.ring.written - back), b"jpeg"))
        self.drain()

    @rule(
        resumed=st.booleans(),
        retold=st.booleans(),
        degraded=st.booleans(),
        lasts_s=st.sampled_from([0.0, 2.0, float("inf")]),
    )
    def line_comes_up(self, resumed: bool, retold: bool, degraded: bool, lasts_s: float) -> None:
        if self.link == "opening":
            self.link = "up"
            self.uplink.link_up()
            self.tell(ev.LinkUp(resumed, retold, degraded, lasts_s))
            self.drain()

    @rule(times=st.integers(2, 40), why=st.sampled_from([ev.LineLeaving(0.0), ev.LineLeaving(60.0), ev.NetworkBack()]))
    def a_line_that_will_not_stay(self, times: int, why: ev.Event) -> None:
        for _ in range(times):
            self.line_comes_up(resumed=False, retold=False, degraded=False, lasts_s=float("inf"))
            self.tell(why)
            self.time_passes(2)

    @rule(fault=st.sampled_from([Fault.NETWORK, Fault.SERVICE, Fault.CLOCK, None]), final=st.booleans())
    def line_goes_down(self, fault: Fault | None, final: bool) -> None:
        if self.link != "down":
            self.link = "down"
            self.uplink.link_down()
            self.server_open = False
            self.answer += 1
            self.tell(ev.LinkDown(fault, "gone", final=final))

    @rule(ms=st.integers(0, 5000))
    def answer_sound(self, ms: int) -> None:
        if self.link != "up" or ms == 0:
            self.tell(ev.AnswerAudio(0))
            return
        self.uplink.answered()
        talking = self.uplink.turn_open and self.machine.rules.manual
        old = self.server_open and self.answer in self.stopped and self.now - self.tail_at < DISCARD_S
        if talking or (old and self.now - self.asked_at < DISCARD_MOST_S):
            self.stopped.add(self.answer)
            self.tail_at = self.now
            if talking:
                self.asked_at = float("inf")
        elif self.answer in self.stopped:
            self.answer += 1  # so long after the last piece of the stopped answer that it must be another one
        self.server_open = True
        self.tell(ev.AnswerAudio(ms))

    @rule()
    def answer_generated(self) -> None:
        if self.link == "up":
            self.tell(ev.AnswerGenerated())

    @rule(idle=st.booleans())
    def answer_done(self, idle: bool) -> None:
        if self.link == "up":
            self.server_open = False
            self.answer += 1
            self.tell(ev.AnswerDone(idle=idle))

    @rule()
    def work_goes_on_and_ends(self) -> None:
        if self.link == "up":
            self.tell(ev.AnswerProgress())
            self.tell(ev.WorkDone())

    @rule()
    def the_model_says_goodbye(self) -> None:
        self.tell(ev.EndWished())

    @rule(left_s=st.sampled_from([0.0, 1.0, 60.0, float("inf")]))
    def the_line_ages(self, left_s: float) -> None:
        if self.link == "up":
            self.tell(ev.LineLeaving(left_s))

    @rule(resumable=st.booleans())
    def the_service_takes_a_snapshot(self, resumable: bool) -> None:
        if self.link == "up":
            self.tell(ev.Snapshot(resumable))

    @rule()
    def the_question_is_written(self) -> None:
        if self.link == "up":
            self.tell(ev.QuestionSent())

    @rule()
    def the_network_comes_back(self) -> None:
        self.tell(ev.NetworkBack())

    @rule(listen=st.booleans())
    def the_house_announces(self, listen: bool) -> None:
        self.tell(ev.Announced("Dinner is ready.", listen))

    @rule(spent=st.sampled_from([ev.BudgetLow("money"), ev.BudgetSpent("money"), ev.BudgetFree()]))
    def the_budget(self, spent: ev.Event) -> None:
        if not isinstance(spent, ev.BudgetLow):
            self.spent = isinstance(spent, ev.BudgetSpent)
        self.tell(spent)

    @rule(rings=st.booleans())
    def an_alarm(self, rings: bool) -> None:
        self.tell(ev.AlarmRings("tea") if rings else ev.AlarmEnded())

    @rule()
    def the_line_is_slow(self) -> None:
        self.tell(ev.LineSlow())

    @rule()
    def server_interrupts(self) -> None:
        if self.link == "up":
            self.tell(ev.Interrupted())
            assert not self.playing, "sound survived an interruption"

    @rule(count=st.integers(1, 3), settle=st.booleans(), blocking=st.booleans())
    def tools(self, count: int, settle: bool, blocking: bool) -> None:
        held = count if blocking else 0
        self.tell(ev.ToolsSettled(count, held) if settle else ev.ToolsCalled(count, held))

    @rule(fault=st.sampled_from(list(Fault)), cleared=st.booleans())
    def faults(self, fault: Fault, cleared: bool) -> None:
        self.tell(ev.FaultCleared(fault) if cleared else ev.FaultRaised(fault, "broken"))

    @invariant()
    def light_and_gate_agree(self) -> None:
        if not hasattr(self, "machine"):
            return
        assert self.machine.turn_open == self.uplink.turn_open
        if self.machine.light == "listening":
            assert self.uplink.turn_open or (self.machine.rules.local_voice and self.machine.asking)
        if self.machine.light in {"idle", "muted", "offline", "starting"} or self.machine.light.startswith("fault"):
            assert not self.uplink.turn_open
        if self.machine.muted:
            assert not self.uplink.turn_open
        if self.machine.attentive:
            assert self.machine.in_conversation
            assert not self.machine.muted
        if self.machine.light == "attentive":
            assert self.machine.attentive
            assert not self.uplink.turn_open

    @invariant()
    def nothing_waits_for_ever(self) -> None:
        """Left alone, the device comes to rest: every busy state has a deadline or waits for a finger or a handset."""
        if hasattr(self, "machine") and self.machine.state in {
            State.CONNECTING,
            State.LISTENING,
            State.THINKING,
            State.SPEAKING,
        }:
            owed_by_tools = self.machine._answer.calls > 0  # each has a deadline of its own
            assert self.machine.deadline is not None or owed_by_tools

    def teardown(self) -> None:
        if not hasattr(self, "machine"):
            return
        self.left_alone()
        self.tell(ev.EndAsked())
        assert not self.machine.in_conversation
        assert not self.uplink.turn_open
        assert self.uplink.idle
        assert not self.intervals
        assert not self.held
        assert not self.machine.ringing

    def left_alone(self) -> None:
        """Nobody touches it, says anything or sends anything any more: it comes to rest by itself."""
        self.tell(ev.Released(self.ring.written))
        self.tell(ev.VoiceEnded(self.ring.written))
        self.tell(ev.ToolsSettled(self.machine._answer.calls, self.machine._answer.blocking))
        end = self.now + LEFT_ALONE_S
        while self.machine.in_conversation and self.now < end:
            deadline = end if self.machine.deadline is None else self.machine.deadline
            soon = self.now + 0.5 if self.playing else deadline
            passed = max(0.0, min(soon, deadline) - self.now)
            self.now += passed
            self.play(passed)
            self.tell(ev.Tick())
        assert not self.machine.in_conversation, f"stuck in {self.machine.state}"
        assert self.machine.state not in {State.LISTENING, State.THINKING, State.SPEAKING}


TestDevice = Device.TestCase
TestDevice.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


@pytest.mark.parametrize("state", list(State))
def test_every_event_is_defined_in_every_state(state: State) -> None:
    """Whatever comes, whenever: an answer, never an exception."""
    examples: list[ev.Event] = [
        ev.Ready(),
        ev.Pressed(1),
        ev.Released(1),
        ev.Muted(1),
        ev.Unmuted(1),
        ev.TextAsked("x"),
        ev.EndAsked(),
        ev.EndWished(),
        ev.LinkUp(),
        ev.LinkDown(None, "x"),
        ev.LineLeaving(),
        ev.LineSlow(),
        ev.Snapshot(),
        ev.QuestionSent(),
        ev.NetworkBack(),
        ev.Announced("x", listen=True),
        ev.BudgetLow("x"),
        ev.BudgetSpent("x"),
        ev.BudgetFree(),
        ev.AlarmRings("x"),
        ev.AlarmEnded(),
        ev.AnswerAudio(10),
        ev.AnswerProgress(),
        ev.AnswerGenerated(),
        ev.AnswerDone(),
        ev.WorkDone(),
        ev.Interrupted(),
        ev.Heard(),
        ev.ToolsCalled(1),
        ev.ToolsSettled(1),
        ev.PlaybackEnded(1),
        ev.NearEndConfirmed(1),
        ev.VoiceStarted(1),
        ev.VoiceEnded(1),
        ev.WakeHeard(1, "x"),
        ev.StopHeard(1),
        ev.FaultRaised(Fault.CAMERA, "x"),
        ev.FaultCleared(Fault.CAMERA),
        ev.Tick(),
    ]
    assert {type(event) for event in examples} == set(ev.Event.__args__)
    for event in examples:
        machine = Machine(Rules())
        machine.handle(ev.Ready(), 0.0)
        machine.state = state
        assert isinstance(machine.handle(event, 1.0), list)
