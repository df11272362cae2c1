"""`edge-agent calibrate`, whole, in a room: what is measured is what the room is like, and only sense is stored."""

from __future__ import annotations

import json
import os
import pwd
import socket
import threading
from pathlib import Path
from typing import Any

import acoustics
import numpy as np
import pytest
from calibrating.site import NOW, Site, spoken

from edge_agent import config
from edge_agent.audio.calibration import Calibration
from edge_agent.calibrating import command, picture
from edge_agent.calibrating.picture import why_no_picture
from edge_agent.errors import DeviceError, Stop
from edge_agent.service import state as states
from edge_agent.service.state import StateFile

QUICK = ("--yes", "--no-speech")


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw only where the picture is what is tested: it takes a second."""
    monkeypatch.setattr(picture, "why_no_picture", lambda: "no picture here.")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, undrawn: None) -> None:  # noqa: ARG001  undoes it
    """Draw after all."""
    monkeypatch.setattr(picture, "why_no_picture", why_no_picture)


def calibrated(site: Site) -> Calibration:
    found = Calibration.from_section(site.stored)
    assert found is not None
    return found


def test_a_good_device_is_measured_rightly_and_all_of_it_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, near=spoken(-50), delay_ms=37, echo_gain_db=-30, noise=-82, drift_ppm=60)
    assert site.run("--yes") == 0
    found = calibrated(site)
    assert found.delay_ms == pytest.approx(37, abs=1)
    assert found.echo_gain_db == pytest.approx(-30, abs=1)
    assert found.drift_ppm == pytest.approx(60, abs=5)
    assert found.noise_dbfs == pytest.approx(-84, abs=2)  # of pink noise from 20 Hz on, the part from 100 Hz
    assert found.speech_dbfs == pytest.approx(-50, abs=1.5)
    assert found.ring_ms == pytest.approx(40, abs=2)
    assert (found.echo, found.mic_channel, found.volume_max, found.speech_heard) == ("software", "left", 100, True)
    assert found.mic_gain_db == pytest.approx(24, abs=1.5)
    assert found.at == NOW.isoformat()
    assert found.fits(config.load(site.config).audio)
    shown = capsys.readouterr().out
    assert "People can interrupt it by talking." in shown
    assert "audio.volume_max = 100" in shown
    assert str(site.state) in shown


def test_a_real_room_decays_and_its_echo_is_still_found_to_the_millisecond(tmp_path: Path) -> None:
    rir = acoustics.image_rir((4, 5, 2.6), source_m=(1, 1, 1), mic_m=(1.08, 1, 1), rt60_s=0.4)
    acoustics.save_rir(tmp_path / "rir.wav", rir)
    site = Site(tmp_path, rir="rir.wav", delay_ms=21, echo_gain_db=-30, noise=-80)
    assert site.run(*QUICK) == 0
    found = calibrated(site)
    direct_ms = 1_000 * int(np.abs(rir).argmax()) / acoustics.RATE_HZ
    assert found.delay_ms == pytest.approx(21 + direct_ms, abs=1)
    energy = np.cumsum(rir[::-1] ** 2)[::-1] / np.sum(rir**2)
    true_tail_ms = 1_000 * int(np.argmax(energy < 1e-3)) / acoustics.RATE_HZ - direct_ms
    assert found.tail_ms == pytest.approx(true_tail_ms, rel=0.2)


def test_a_loud_echo_lowers_the_volume_until_speech_is_heard_through_it(tmp_path: Path) -> None:
    site = Site(tmp_path, near=spoken(-50), echo_gain_db=-16, noise=-82)
    assert site.run("--yes") == 0
    found = calibrated(site)
    assert 40 < found.volume_max < 100
    assert found.ser_db == pytest.approx(-10, abs=0.7)
    assert found.echo == "software"


def test_a_distorting_loudspeaker_lowers_the_volume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(tmp_path, echo_gain_db=-40, noise=-90, distortion=1)
    assert site.run(*QUICK) == 0
    found = calibrated(site)
    assert 47 < found.volume_max < 80
    assert 0.08 < found.distortion <= 0.1
    assert found.echo_gain_db == pytest.approx(-40, abs=1)  # of speech, which is far below the tone's limit
    assert "distortion 2" in capsys.readouterr().out  # 20 to 29 % at volume 100


def test_a_microphone_that_is_overdriven_lowers_the_volume(tmp_path: Path) -> None:
    site = Site(tmp_path, echo_gain_db=6, noise=-82, audio="mic_gain_db = -16.0")
    assert site.run(*QUICK) == 0
    assert 47 <= calibrated(site).volume_max < 80


def test_speech_far_under_the_echo_is_not_asked_of_a_canceller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, echo_gain_db=-2, noise=-82, audio="mic_gain_db = 36.0")
    assert site.run(*QUICK) == 0
    assert calibrated(site).echo == "half-duplex"
    assert "interrupt it with the button" in capsys.readouterr().out


def test_a_dead_microphone_is_told_and_nothing_is_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(tmp_path, echo_gain_db=-120)
    assert site.run(*QUICK) == 1
    shown = capsys.readouterr().out
    assert "gives nothing at all" in shown
    assert "Nothing was stored." in shown
    assert site.stored == {}


def test_a_silent_loudspeaker_is_told_and_nothing_is_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(tmp_path, echo_gain_db=-120, noise=-78)
    assert site.run(*QUICK) == 1
    assert "did not hear the loudspeaker" in capsys.readouterr().out
    assert site.stored == {}


@pytest.mark.parametrize(("words", "answers"), [(("--heard", *QUICK), None), (("--no-speech",), ["", "y", "y"])])
def test_who_heard_the_tones_has_a_device_that_cancels_by_itself(
    tmp_path: Path, words: tuple[str, ...], answers: list[str] | None
) -> None:
    site = Site(tmp_path, echo_gain_db=-120, noise=-78)
    assert site.run(*words, answers=answers) == 0
    assert calibrated(site).echo == "hardware"


@pytest.mark.parametrize(("slot", "channel"), [("right", "right"), ("both", "left")])
def test_the_slot_of_the_microphone_is_found(tmp_path: Path, slot: str, channel: str) -> None:
    site = Site(tmp_path, slot=slot, noise=-78, echo_gain_db=-30)
    assert site.run(*QUICK) == 0
    assert calibrated(site).mic_channel == channel


class Cheap:
    """A microphone in the right slot, with a ghost of it in the left one, both far off zero."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self.name, self.ring_ms = device.name, device.ring_ms

    def read(self, into: Any) -> int:
        xruns = int(self._device.read(into))
        into[:, 0] = into[:, 1] >> 3
        into += round(0.02 * 2**31)
        return xruns

    def close(self) -> None:
        self._device.close()


def test_neither_a_ghost_in_the_other_slot_nor_an_offset_misleads(tmp_path: Path) -> None:
    site = Site(tmp_path, worn=Cheap, slot="right", noise=-78, echo_gain_db=-30, delay_ms=37)
    assert site.run(*QUICK) == 0
    found = calibrated(site)
    assert found.mic_channel == "right"
    assert found.delay_ms == pytest.approx(37, abs=1)
    assert found.echo_gain_db == pytest.approx(-30, abs=1)
    assert found.noise_dbfs == pytest.approx(-80, abs=2)


def test_noise_does_not_hide_the_echo_but_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(tmp_path, noise=-52, echo_gain_db=-34, delay_ms=37)
    assert site.run(*QUICK) == 0
    found = calibrated(site)
    assert found.delay_ms == pytest.approx(37, abs=1)
    assert found.echo_gain_db == pytest.approx(-34, abs=1)
    assert "The room is loud" in capsys.readouterr().out


def test_a_jump_of_the_delay_between_two_tones_is_no_measurement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, noise=-80, echo_gain_db=-30, jumps=[[8.4, 30]])
    assert site.run(*QUICK) == 1
    assert "moved by 30 ms" in capsys.readouterr().out
    assert site.stored == {}


class Losing:
    """A microphone that loses sound in some of its blocks."""

    def __init__(self, device: Any, blocks: range) -> None:
        self._device, self._blocks, self._count = device, blocks, 0
        self.name, self.ring_ms = device.name, device.ring_ms

    def read(self, into: Any) -> int:
        self._count += 1
        return int(self._device.read(into)) + (self._count in self._blocks)

    def close(self) -> None:
        self._device.close()


def test_sound_lost_once_is_measured_again_and_lost_twice_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = Site(tmp_path / "once", worn=lambda device: Losing(device, range(200, 202)), noise=-80, echo_gain_db=-30)
    assert once.run(*QUICK) == 0
    assert "once more" in capsys.readouterr().out
    assert once.stored
    always = Site(tmp_path / "always", worn=lambda device: Losing(device, range(0, 9_999, 50)), noise=-80)
    assert always.run(*QUICK) == 1
    assert "Sound was lost" in capsys.readouterr().out
    assert always.stored == {}


def test_without_a_terminal_nothing_is_stored_unless_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, noise=-80, echo_gain_db=-30)
    assert site.run("--no-speech") == 0
    assert "--yes stores it" in capsys.readouterr().out
    assert site.stored == {}


@pytest.mark.parametrize(("answer", "stored"), [("y", True), ("", False), ("n", False)])
def test_a_person_is_asked_first(tmp_path: Path, answer: str, stored: bool) -> None:
    site = Site(tmp_path, noise=-80, echo_gain_db=-30)
    assert site.run("--no-speech", answers=["", answer]) == 0
    assert bool(site.stored) == stored


def test_who_does_not_speak_keeps_the_configured_gain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(tmp_path, noise=-80, echo_gain_db=-40, audio="mic_gain_db = 20.5")
    assert site.run("--yes") == 0
    found = calibrated(site)
    assert (found.mic_gain_db, found.speech_heard) == (20.5, False)
    shown = capsys.readouterr().out
    assert "nobody was heard to speak" in shown
    assert "audio.mic_gain_db = 20.5, which wins over it" in shown


def test_json_is_all_that_a_program_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(tmp_path, noise=-80, echo_gain_db=-30)
    assert site.run("--json", *QUICK) == 0
    out, err = capsys.readouterr()
    tree = json.loads(out)
    assert tree["stored"] is True
    assert tree["measured"]["slot"] == "left"
    assert tree["proposed"]["volume_max"] == 100
    assert len(tree["measured"]["sweeps"]) == 3
    assert "Proposed:" in err


def test_a_refused_measurement_is_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(tmp_path, echo_gain_db=-120)
    assert site.run("--json", *QUICK) == 1
    tree = json.loads(capsys.readouterr().out)
    assert tree["proposed"] is None
    assert "nothing at all" in tree["refused"]
    assert tree["stored"] is False


def test_beside_a_running_daemon_nothing_is_even_opened(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(site.socket))
        listening.listen()

        def answer() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.recv(1_000)
                peer.sendall(b'{"ok": true, "state": "idle"}\n')

        daemon = threading.Thread(target=answer)
        daemon.start()
        with pytest.raises(Stop, match="systemctl stop edge-agent"):
            site.run(*QUICK)
        daemon.join()
    assert site.clock.now == 100.0


def test_a_socket_that_a_daemon_left_behind_does_not_matter(tmp_path: Path) -> None:
    site = Site(tmp_path, noise=-80, echo_gain_db=-30)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(site.socket))
    assert site.run(*QUICK) == 0


def test_a_device_that_somebody_holds_says_who_and_what_to_do(tmp_path: Path) -> None:
    site = Site(tmp_path)

    def busy(device: str, *, block_frames: int, epoch: float) -> Any:  # noqa: ARG001  the interface
        raise DeviceError('the microphone "edge_mic" is busy: card voicehat is held by edge-agent (process 7)')

    site.open_input = busy  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match=r"process 7\)\. If it is the daemon: systemctl stop edge-agent"):
        site.run(*QUICK)


def test_what_else_the_device_remembers_stays_and_the_file_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, noise=-80, echo_gain_db=-30)
    before = StateFile(site.state)
    before.update(volume=35, muted=True)
    before.put("timers", {"entries": [1]})
    assert before.flush() is None
    writes: list[Path] = []
    real = states.write_atomically

    def counted(path: Path, data: bytes) -> None:
        writes.append(path)
        real(path, data)

    monkeypatch.setattr(states, "write_atomically", counted)
    assert site.run(*QUICK) == 0
    after = StateFile(site.state)
    assert after.load() == []
    assert (after.state.volume, after.state.muted) == (35, True)
    assert after.section("timers") == {"entries": [1]}
    assert writes == [site.state / "state.json"]


def test_a_full_disk_is_said_and_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, noise=-80, echo_gain_db=-30)

    def full(*_a: Any, **_k: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(states, "write_atomically", full)
    with pytest.raises(Stop, match="No space left"):
        site.run(*QUICK)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_stores_belongs_to_the_daemon(tmp_path: Path) -> None:
    site = Site(tmp_path, noise=-80, echo_gain_db=-30)
    site.state.mkdir()
    os.chown(site.state, 4321, 4322)
    assert site.run(*QUICK) == 0
    owner = (site.state / "state.json").stat()
    assert (owner.st_uid, owner.st_gid, owner.st_mode & 0o777) == (4321, 4322, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_root_gives_nothing_away_that_a_link_leads_to(
    tmp_path: Path, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns the folder of the state could put a link there at the right moment."""
    site = Site(tmp_path, noise=-80, echo_gain_db=-30)
    site.state.mkdir()
    os.chown(site.state, 4321, 4322)
    secret = tmp_path / "secret"
    secret.write_text("for root alone")
    flush = StateFile.flush

    def replaced(store: StateFile) -> Any:
        found = flush(store)
        store.path.unlink()
        (store.path.symlink_to if link == "symbolic" else store.path.hardlink_to)(secret)
        return found

    monkeypatch.setattr(StateFile, "flush", replaced)
    with pytest.raises(Stop, match="look who else writes there"):
        site.run(*QUICK)
    assert (secret.stat().st_uid, secret.stat().st_gid) == (0, 0)


def test_the_page_lies_where_whoever_calls_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SUDO_UID", raising=False)
    assert (command._person().home, command._person().uid) == (tmp_path, os.geteuid())
    someone = pwd.getpwnam("nobody")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", str(someone.pw_uid))
    assert command._person() == command._Person(Path(someone.pw_dir), someone.pw_uid, someone.pw_gid)
    monkeypatch.setenv("SUDO_UID", "4294967200")
    assert command._person().home == tmp_path, "nobody here has that number"


@pytest.mark.usefixtures("drawn")
def test_the_page_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    site = Site(tmp_path, noise=-80, echo_gain_db=-30)
    precious = tmp_path / "precious"
    precious.write_text("kept")
    site.picture.symlink_to(precious)
    assert site.run(*QUICK) == 0
    assert precious.read_text() == "kept"
    assert site.picture.read_bytes()[:4] == b"\x89PNG"
    assert not site.picture.is_symlink()


def test_the_loudest_tone_is_the_configured_cap_or_what_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, noise=-90, echo_gain_db=-30, audio="volume_max = 70")
    assert site.run(*QUICK) == 0
    assert calibrated(site).volume_max == 70
    assert site.run("--volume", "55", *QUICK) == 0
    assert calibrated(site).volume_max == 55
    capsys.readouterr()
    assert site.run("--volume", "19") == 2
    assert "20 to 100" in capsys.readouterr().err


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"noise": -80, "echo_gain_db": -30, "distortion": 1}, 0),
        ({"noise": -80, "echo_gain_db": 30}, 1),
        ({"noise": -80, "echo_gain_db": -120}, 1),
        ({"echo_gain_db": -120}, 1),
    ],
)
def test_the_picture_is_drawn_for_the_good_and_for_the_refused(
    tmp_path: Path, keys: dict[str, Any], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    site = Site(tmp_path, **keys)
    assert site.run(*QUICK) == code
    assert f"Drawn: {site.picture}" in capsys.readouterr().out
    raw = site.picture.read_bytes()
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(raw[16:20]), int.from_bytes(raw[20:24])) == (2_100, 1_485)
    assert len(raw) > 40_000


@pytest.mark.usefixtures("drawn")
def test_without_matplotlib_there_is_a_sentence_and_all_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    site = Site(tmp_path, noise=-80, echo_gain_db=-30)
    assert site.run(*QUICK) == 0
    assert "matplotlib is not installed" in capsys.readouterr().out
    assert not site.picture.exists()
    assert site.stored


@pytest.mark.usefixtures("drawn")
def test_a_picture_that_cannot_be_written_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    site = Site(tmp_path, noise=-80, echo_gain_db=-30)
    site.picture.mkdir()
    assert site.run(*QUICK) == 0
    assert "name another place with --picture" in capsys.readouterr().out
    assert site.stored
