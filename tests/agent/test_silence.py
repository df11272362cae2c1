"""Who keeps the microphone shut, whatever is asked in whatever order, down to the blocks of the engine."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.agent.memory import Memory
from edge_agent.agent.silence import Hand, MuteState, Silence
from edge_agent.audio.engine import Duplex
from edge_agent.audio.ring import CaptureRing
from edge_agent.errors import Stop
from edge_agent.panel.pins import open_panel
from edge_agent.panel.switch import MuteSwitch
from edge_agent.service.state import StateFile

HANDS: tuple[Hand, ...] = ("person", "ctl", "model")
LOUD = np.full((960, 2), 1 << 28, np.int32)


class Device:
    """What `Silence` works on, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.memory = Memory(StateFile(folder), faults=dict, tell=lambda _event: None)
        self.commands: list[bool] = []
        self.told: list[bool] = []
        self.events: list[tuple[bool, str | None]] = []
        self.silence = Silence(
            self.memory,
            set_mute=self.commands.append,
            tell=self.told.append,
            publish=lambda _event, **fields: self.events.append((fields["muted"], fields["by"])),
        )

    @property
    def by(self) -> str | None:
        """Who keeps it shut."""
        return self.silence.muted_by

    @property
    def shut(self) -> bool:
        """How the microphone stands."""
        return bool(self.commands) and self.commands[-1]

    @property
    def kept(self) -> dict[str, Any]:
        """What lies on the card."""
        tree: dict[str, Any] = json.loads(self.memory.file.path.read_text())
        return tree


def _run(folder: Path, story: Callable[[Device], Any]) -> None:
    async def main() -> None:
        device = Device(folder)
        await story(device)
        await device.memory.close()

    asyncio.run(main())


def test_a_hand_mutes_and_another_takes_it_back(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        assert (device.silence.muted, device.silence.muted_by) == (False, None)
        device.silence.mute("model")
        device.silence.mute("ctl")
        assert (device.silence.muted, device.by, device.shut) == (True, "ctl", True)
        device.silence.mute("model")
        assert device.by == "ctl", "an owner goes before the model"
        device.silence.unmute("ctl")
        assert device.events[-1] == (False, None)
        assert not device.shut
        assert device.told == [True, True, True, False]
        assert device.events == [(True, "model"), (True, "ctl"), (True, "ctl"), (False, None)]

    _run(tmp_path, story)


def test_the_model_never_unmutes(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.silence.mute("ctl")
        with pytest.raises(Stop, match="Only a person"):
            device.silence.unmute("model")
        assert device.shut
        assert device.silence.muted_by == "ctl"

    _run(tmp_path, story)


def test_the_button_undoes_what_the_model_did_and_nothing_else(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        assert not device.silence.pressed(), "nothing is muted"
        device.silence.mute("model")
        device.silence.cut()
        assert not device.silence.pressed()
        assert device.by == "switch"
        device.silence.restore(device.silence.cuts)
        assert device.by == "model"
        assert device.silence.pressed()
        assert (device.silence.muted, device.shut, device.memory.state.muted) == (False, False, False)
        orders: tuple[list[Hand], ...] = (["ctl"], ["person"], ["model", "ctl"], ["ctl", "model"])
        for hands in orders:
            for hand in hands:
                device.silence.mute(hand)
            assert not device.silence.pressed(), hands
            assert device.shut
            device.silence.unmute("ctl")

    _run(tmp_path, story)


def test_a_mute_of_the_models_is_undone_by_the_button_after_a_restart_too(tmp_path: Path) -> None:
    async def muted(device: Device) -> None:
        device.silence.mute("model")

    async def again(device: Device) -> None:
        assert device.shut
        assert device.silence.pressed()
        assert not device.shut

    _run(tmp_path, muted)
    _run(tmp_path, again)


def test_a_switch_that_cannot_be_read_is_not_blamed(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.silence.unread(on=True)
        device.silence.cut()
        await asyncio.sleep(0)
        assert (device.shut, device.silence.muted_by) == (True, "fault")
        with pytest.raises(Stop, match="cannot be read"):
            device.silence.unmute("ctl")
        device.silence.unread(on=False)
        assert (device.shut, device.silence.muted_by) == (True, "switch"), "it is read, and says so"
        device.silence.restore(device.silence.cuts)
        assert device.events == [(True, "fault"), (True, "switch"), (False, None)]

    _run(tmp_path, story)


def test_while_the_switch_says_mute_an_unmute_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.silence.mute("ctl")
        device.silence.cut()
        for by in ("person", "ctl"):
            with pytest.raises(Stop, match="switched off at the device"):
                device.silence.unmute(by)
        assert device.shut
        device.silence.restore(device.silence.cuts)
        assert device.shut, "the remote mute stays"
        assert device.silence.muted_by == "ctl"
        device.silence.unmute("ctl")
        assert not device.shut

    _run(tmp_path, story)


def test_the_switch_alone_mutes_and_unmutes_and_everybody_is_told_once(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        for _ in range(3):  # it bounces
            device.silence.cut()
        assert device.shut
        assert device.told == [], "the loop hears of it a moment later"
        await asyncio.sleep(0)
        device.silence.restore(device.silence.cuts)
        assert not device.shut
        assert device.events == [(True, "switch"), (False, None)]
        assert device.told == [True, False]

    _run(tmp_path, story)


def test_a_restore_that_a_new_cut_has_overtaken_does_nothing(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        device.silence.cut()
        cuts = device.silence.cuts
        device.silence.cut()
        device.silence.restore(cuts)
        assert device.shut
        assert device.silence.muted_by == "switch"

    _run(tmp_path, story)


def test_the_hands_mute_is_remembered_and_the_switchs_is_not(tmp_path: Path) -> None:
    async def switch_only(device: Device) -> None:
        device.silence.cut()

    _run(tmp_path, switch_only)
    assert not (tmp_path / "state.json").exists(), "what the switch says is read again"

    async def both(device: Device) -> None:
        assert not device.shut
        device.silence.cut()
        device.silence.mute("model")

    _run(tmp_path, both)

    async def again(device: Device) -> None:
        assert device.kept["muted"]
        assert device.shut, "before anything else"
        assert device.told == [], "the conversation begins muted"
        assert device.silence.muted_by == "model"
        device.silence.unmute("ctl")

    _run(tmp_path, again)

    async def at_last(device: Device) -> None:
        assert not device.silence.muted
        assert "mute" not in device.kept

    _run(tmp_path, at_last)


@pytest.mark.parametrize("section", [{}, {"by": "switch"}, {"by": 7}, {"by": ["ctl"]}])
def test_a_mute_of_unknown_origin_is_a_persons(tmp_path: Path, section: dict[str, Any]) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"version": 1, "muted": True, "mute": section}))

    async def story(device: Device) -> None:
        assert (device.silence.muted, device.silence.muted_by) == (True, "person")

    _run(tmp_path, story)


_CALLS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["mute", "unmute"]), st.sampled_from(HANDS)),
        st.tuples(st.sampled_from(["cut", "restore", "restore late", "loop", "press", "unread", "read"]), st.none()),
    ),
    max_size=40,
)


@given(_CALLS)
def test_no_order_of_calls_opens_a_microphone_that_the_switch_has_shut(  # noqa: C901  one case for each call
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, Hand]]
) -> None:
    async def story(device: Device) -> None:
        switch, hand, owner, unread = False, False, False, False
        for call, by in calls:
            match call:
                case "mute":
                    device.silence.mute(by)
                    hand, owner = True, owner or by != "model"
                case "press":
                    undone = device.silence.pressed()
                    assert undone is (hand and not owner and not switch)
                    hand = hand and not undone
                case "unread" | "read":
                    unread = call == "unread"
                    device.silence.unread(on=unread)
                case "unmute" if switch or by == "model":
                    with pytest.raises(Stop):
                        device.silence.unmute(by)
                case "unmute":
                    device.silence.unmute(by)
                    hand = owner = False
                case "cut":
                    device.silence.cut()
                    switch = True
                case "restore":
                    device.silence.restore(device.silence.cuts)
                    switch = False
                case "restore late":
                    device.silence.restore(device.silence.cuts - 1)
                case _:
                    await asyncio.sleep(0)
            assert device.shut is device.silence.muted is (switch or hand)
            assert (device.silence.muted_by in {"switch", "fault"}) is switch
            assert (device.silence.muted_by == "fault") is (switch and unread)
            assert device.memory.state.muted is hand
        await asyncio.sleep(0)
        assert not device.told or device.told[-1] is device.shut

    _run(tmp_path_factory.mktemp("state"), story)


@given(st.lists(st.sampled_from(HANDS)), st.sampled_from(HANDS))
def test_the_state_alone_refuses_too(hands: list[Hand], by: Hand) -> None:
    state = MuteState(switch=True)
    for hand in hands:
        state.shut(hand)
    before = state.hand
    with pytest.raises(Stop):
        state.open(by)
    assert state.muted
    assert state.hand == before == next((hand for hand in hands if hand != "model"), "model" if hands else None)


def test_an_unmute_on_the_loop_never_overtakes_a_cut_in_another_thread(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        go = threading.Barrier(2)

        def finger() -> None:
            go.wait()
            for _ in range(500):
                device.silence.cut()

        thread = threading.Thread(target=finger)
        thread.start()
        await asyncio.to_thread(go.wait)
        refused = 0
        while thread.is_alive():
            try:
                device.silence.unmute("ctl")
            except Stop:
                refused += 1
            device.silence.restore(device.silence.cuts)
        thread.join()
        device.silence.cut()
        assert device.shut
        with pytest.raises(Stop):
            device.silence.unmute("ctl")
        assert device.shut is device.silence.muted is True

    _run(tmp_path, story)


def test_from_the_pin_to_the_ring_with_the_loop_standing_still(tmp_path: Path) -> None:
    """The switch's edge reaches the engine's next block while the event loop does nothing at all."""

    async def story(device: Device) -> None:
        ring = CaptureRing()
        engine = Duplex(block_frames=960, ring=ring, mic_gain_db=0, mic_channel="left", volume=0)
        told: list[bool] = []
        silence = Silence(device.memory, set_mute=engine.set_mute, tell=told.append)
        panel = open_panel("mock", button_gpio=17, led_gpio=27, on_level=lambda _down, _t: None)
        switch = MuteSwitch(silence, closed="live", loop=asyncio.get_running_loop())
        wire = panel.wire(24, "the mute switch's pin", switch.level)
        switch.watch(wire)
        silence.settle()
        assert told == [True], "before the sound begins"
        now = 0.0

        def heard() -> bool:
            nonlocal now
            now += 0.02
            begin = ring.written
            engine.step(LOUD, now, 960)
            return not ring.muted(begin, ring.written)

        assert not heard(), "an open contact, and no block was let in at the start"
        wire.drive(True)
        async with asyncio.timeout(5):
            while silence.muted:  # noqa: ASYNC110  the steady while passes in real time
                await asyncio.sleep(0.01)
        heard()
        assert heard()
        wire.drive(False)
        assert not heard(), "the very next block"
        assert told == [True, False], "and the loop has not run"
        await asyncio.sleep(0)
        assert told == [True, False, True]
        with pytest.raises(Stop):
            silence.unmute("ctl")
        assert not heard()
        switch.close()
        panel.close()

    _run(tmp_path, story)
