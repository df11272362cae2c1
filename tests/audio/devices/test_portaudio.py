"""Devices against a real sound server: what is said arrives, what is lost is counted, failures are sentences."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_agent.audio.devices import InputDevice, OutputDevice, holders, open_input, open_output, portaudio
from edge_agent.audio.devices.portaudio import LossMeter
from edge_agent.audio.wavfile import read_wav
from edge_agent.demo.soundserver import SoundServer
from edge_agent.errors import DeviceError, Fault, StreamEnded

BLOCK = 960
BACKENDS = ["pyaudio", "alsa"]


def noise(seconds: float, seed: int = 1) -> NDArray[np.float32]:
    """Coded noise: no stretch of it resembles another; exact in 16 bits."""
    drawn = np.random.default_rng(seed).integers(-16000, 16000, round(seconds * 48000))
    return (drawn / 32768).astype(np.float32)


def place(heard: NDArray[np.float32], said: NDArray[np.float32]) -> int:
    """Where `said` begins in `heard`, by correlation."""
    size = 1 << int(np.ceil(np.log2(len(heard) + len(said))))
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size))
    return int(np.fft.irfft(spectrum, size)[: len(heard)].argmax())


def hear(device: InputDevice, seconds: float) -> tuple[NDArray[np.float32], int]:
    heard, xruns = [], 0
    block = np.empty((BLOCK, 2), dtype=np.int32)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        xruns += device.read(block)
        heard.append((block[:, 0] / 2.0**31).astype(np.float32))
    return np.concatenate(heard), xruns


def speak(device: OutputDevice, said: NDArray[np.float32]) -> int:
    """Write as far as the device takes it, as the sound thread does."""
    left = np.repeat((said * 2.0**31).astype(np.int32)[:, None], 2, axis=1)
    at = underruns = 0
    while at < len(left):
        count = min(device.writable(), len(left) - at)
        underruns += device.write(left[at : at + count])
        at += count
        time.sleep(0.005)
    return underruns


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    """Devices to close when the test is over, whatever happens in it."""
    devices: list[Any] = []
    yield devices
    for device in devices:
        device.close()
    assert portaudio._Shared.users == 0
    assert portaudio._Shared.audio is None


@pytest.mark.sound
@pytest.mark.parametrize(("backend", "seconds"), [("pyaudio", 10), ("alsa", 3)])
def test_what_a_person_says_arrives_whole(
    backend: str, seconds: int, sound_env: SoundServer, opened: list[Any], tmp_path: Path
) -> None:
    device = open_input(f"{backend}:edge_mic", block_frames=BLOCK, epoch=time.monotonic())
    opened.append(device)
    said = noise(seconds)
    for _ in range(3):
        with sound_env.record(tmp_path / "room.wav"):
            voice = sound_env.play((said, 48000))
            heard, xruns = hear(device, seconds + 0.5)
            voice.wait()
        if not xruns:  # on a machine too busy for this thread, the loss must be told; then the next try counts
            break
    air, _ = read_wav(tmp_path / "room.wav")
    assert not changed(air[:, 0], said), "the sound server's own player lost something"
    assert not changed(heard, said), "blocks lost, doubled or changed"
    at = place(heard, said)
    assert float(np.corrcoef(heard[at : at + len(said)], said)[0, 1]) >= 0.95


def changed(heard: NDArray[np.float32], said: NDArray[np.float32]) -> list[int]:
    """Numbers of the blocks of `said` that did not arrive as they were, in one piece with the others."""
    at = place(heard, said)
    arrived = np.resize(heard[at : at + len(said)], len(said))
    errors = np.abs(arrived - said)[: len(said) // BLOCK * BLOCK].reshape(-1, BLOCK).max(axis=1)
    return [int(number) for number in np.flatnonzero(errors > 1e-4)]


@pytest.mark.sound
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_written_is_heard_in_the_room(
    backend: str, sound_env: SoundServer, opened: list[Any], tmp_path: Path
) -> None:
    device = open_output(f"{backend}:edge_speaker", block_frames=BLOCK, epoch=time.monotonic())
    opened.append(device)
    said = noise(2)
    for _ in range(5):
        with sound_env.record(tmp_path / "room.wav"):
            underruns = speak(device, np.concatenate([said, np.zeros(24000, dtype=np.float32)]))
        if not underruns:  # on a machine too busy for this thread, the loss must be told; then the next try counts
            break
    heard, _ = read_wav(tmp_path / "room.wav")
    at = place(heard[:, 1], said)
    np.testing.assert_allclose(heard[at : at + len(said), 1], said, atol=1e-4)
    assert not heard[:, 0].any(), "the microphone's side hears the loudspeaker"


@pytest.mark.sound
@pytest.mark.parametrize("backend", BACKENDS)
def test_after_a_long_sleep_sound_is_whole_or_its_loss_is_told(
    backend: str, sound_env: SoundServer, opened: list[Any]
) -> None:
    """A sound server may keep seconds for a late reader, a card never does; either way the count must be true."""
    microphone = open_input(f"{backend}:edge_mic", block_frames=BLOCK, epoch=time.monotonic())
    opened.append(microphone)
    said = noise(3)
    voice = sound_env.play((said, 48000))
    before, calm = hear(microphone, 0.8)
    assert calm == 0
    time.sleep(0.7)
    after, xruns = hear(microphone, 2.8)
    voice.wait()
    heard = np.concatenate([before, after])
    lost = len(said) - 12000 - (place(heard, said[-12000:]) - place(heard, said[:12000]))
    assert (lost > 0) == (xruns > 0), f"{lost} frames lost, {xruns} xruns counted"


@pytest.mark.sound
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loudspeaker_left_alone_runs_dry_and_says_so(backend: str, sound_env: SoundServer, opened: list[Any]) -> None:
    assert sound_env
    loudspeaker = open_output(f"{backend}:edge_speaker", block_frames=BLOCK, epoch=time.monotonic())
    opened.append(loudspeaker)
    speak(loudspeaker, noise(0.5))
    time.sleep(0.5)
    assert speak(loudspeaker, noise(0.1)) >= 1


@pytest.mark.sound
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sound_server_that_dies_ends_both_streams(
    backend: str, monkeypatch: pytest.MonkeyPatch, opened: list[Any]
) -> None:
    with SoundServer() as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        microphone = open_input(f"{backend}:edge_mic", block_frames=BLOCK, epoch=time.monotonic())
        opened.append(microphone)
        loudspeaker = open_output(f"{backend}:edge_speaker", block_frames=BLOCK, epoch=time.monotonic())
        opened.append(loudspeaker)
        hear(microphone, 0.05)
    with pytest.raises(StreamEnded, match="edge_mic stopped") as caught:
        hear(microphone, 10)
    assert caught.value.fault is Fault.MICROPHONE
    with pytest.raises(StreamEnded, match="edge_speaker stopped") as caught:
        speak(loudspeaker, noise(2))
    assert caught.value.fault is Fault.LOUDSPEAKER


@pytest.mark.sound
def test_names_are_found_whole_in_part_and_by_default(sound_env: SoundServer, opened: list[Any]) -> None:
    assert sound_env
    for wanted in ("edge_mic", "EDGE_M", "default", ""):
        device = open_input(f"pyaudio:{wanted}", block_frames=BLOCK, epoch=0.0)
        opened.append(device)
        assert device.name == ("pyaudio:edge_mic" if wanted.lower().startswith("edge") else "pyaudio:default")
        assert device.ring_ms == 40.0
        device.close()
    inputs, outputs = portaudio.names()
    assert "pyaudio:edge_mic" in inputs
    assert "pyaudio:edge_speaker" in outputs


@pytest.mark.sound
@pytest.mark.parametrize(("width", "channels"), [(2, 2), (2, 1)])
def test_a_device_that_refuses_32_bits_or_stereo_is_converted(
    width: int, channels: int, sound_env: SoundServer, monkeypatch: pytest.MonkeyPatch, opened: list[Any]
) -> None:
    import pyaudio

    real = pyaudio.PyAudio.open

    def choosy(self: Any, **options: Any) -> Any:
        if options["format"] != pyaudio.paInt16 or options["channels"] != channels:
            raise OSError(-9994, "Sample format not supported")
        return real(self, **options)

    monkeypatch.setattr(pyaudio.PyAudio, "open", choosy)
    device = portaudio.PortAudioInput("edge_mic", block_frames=BLOCK)
    opened.append(device)
    assert (device._bytes, device._channels) == (width, channels)
    assert heard_in_room(device, sound_env) > 0.99


@pytest.mark.sound
def test_arecord_on_a_device_of_16_bit_mono_is_converted(
    sound_env: SoundServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[Any]
) -> None:
    """ALSA's speex plugin takes nothing else."""
    conf = Path(sound_env.env["ALSA_CONFIG_PATH"]).read_text() + (
        'pcm.narrow { type speex slave.pcm { type plug slave.pcm "edge_mic" } denoise no agc no dereverb no }\n'
    )
    (tmp_path / "alsa.conf").write_text(conf)
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "alsa.conf"))
    device = open_input("alsa:narrow", block_frames=BLOCK, epoch=0.0)
    opened.append(device)
    assert heard_in_room(device, sound_env) > 0.95


def heard_in_room(device: InputDevice, room: SoundServer) -> float:
    """Correlation of what the device hears with what the person says."""
    said = noise(1)
    voice = room.play((said, 48000))
    heard, _ = hear(device, 1.5)
    voice.wait()
    at = place(heard, said)
    return float(np.corrcoef(heard[at : at + len(said)], said)[0, 1])


@pytest.fixture
def null_pcm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ALSA configuration with one PCM that swallows everything, unpaced."""
    (tmp_path / "alsa.conf").write_text("</usr/share/alsa/alsa.conf>\npcm.swallow { type null }\n")
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "alsa.conf"))
    monkeypatch.delenv("PULSE_SERVER", raising=False)


@pytest.mark.usefixtures("null_pcm")
def test_opening_closing_and_failing_print_nothing(capfd: pytest.CaptureFixture[str], opened: list[Any]) -> None:
    for _ in range(2):
        device = open_output("pyaudio:swallow", block_frames=BLOCK, epoch=0.0)
        opened.append(device)
        assert device.write(np.zeros((min(BLOCK, device.writable()), 2), dtype=np.int32)) == 0
        device.close()
        device.close()
    with pytest.raises(DeviceError):
        open_input("pyaudio:nowhere", block_frames=BLOCK, epoch=0.0)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


@pytest.mark.usefixtures("null_pcm")
@pytest.mark.parametrize(
    ("opener", "noun", "fault"),
    [(open_input, "microphone", Fault.MICROPHONE), (open_output, "loudspeaker", Fault.LOUDSPEAKER)],
)
def test_an_absent_device_is_answered_with_those_that_exist(opener: Any, noun: str, fault: Fault) -> None:
    with pytest.raises(DeviceError) as caught:
        opener("pyaudio:nowhere", block_frames=BLOCK, epoch=0.0)
    assert f'there is no {noun} "nowhere"; PortAudio lists: ' in str(caught.value)
    assert '"swallow"' in str(caught.value)
    assert caught.value.fault is fault
    assert portaudio._Shared.audio is None


@pytest.mark.usefixtures("null_pcm")
def test_a_device_others_hold_is_named_with_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "proc" / "4711" / "fd"
    folder.mkdir(parents=True)
    (folder / "9").symlink_to("/dev/snd/pcmC1D0c")
    (folder.parent / "comm").write_text("arecord\n")
    monkeypatch.setattr(portaudio, "busy_sentence", functools.partial(holders.busy_sentence, proc=tmp_path / "proc"))
    with pytest.raises(DeviceError, match=r"leaves out .* card 1 is held by arecord \(process 4711\)"):
        open_input("pyaudio:hw:1", block_frames=BLOCK, epoch=0.0)


@pytest.mark.usefixtures("null_pcm")
@pytest.mark.parametrize("held", ["", "card 0 is held by aplay (process 7)"])
def test_a_device_that_refuses_every_format_says_why(held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyaudio

    def refuse(_self: Any, **_options: Any) -> None:
        raise OSError(-9985, "Device unavailable")

    monkeypatch.setattr(pyaudio.PyAudio, "open", refuse)
    monkeypatch.setattr(portaudio, "busy_sentence", lambda _direction, _name: held)
    with pytest.raises(DeviceError) as caught:
        open_output("pyaudio:swallow", block_frames=BLOCK, epoch=0.0)
    told = str(caught.value)
    if held:
        assert told.startswith(f'the loudspeaker "swallow" is busy: {held}; end that program')
    else:
        assert "32 bit stereo: Device unavailable; 16 bit stereo: Device unavailable; 16 bit mono" in told
        assert "/etc/asound.conf" in told
    assert caught.value.fault is Fault.LOUDSPEAKER


def test_without_pyaudio_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    with pytest.raises(DeviceError, match=r"install python3-pyaudio.*or use alsa:PCM") as caught:
        open_input("pyaudio:edge_mic", block_frames=BLOCK, epoch=0.0)
    assert caught.value.fault is Fault.MICROPHONE


class Stream:
    """A PyAudio stream of 16 bits that gives and takes what a test wants."""

    def __init__(self, given: bytes = b"") -> None:
        self.given = given
        self.taken: list[NDArray[np.int16]] = []

    def read(self, frames: int, *, exception_on_overflow: bool) -> bytes:
        assert frames
        assert not exception_on_overflow, "an overflow would close the stream"
        return self.given

    def get_write_available(self) -> int:
        return 2 * BLOCK

    def write(self, sound: NDArray[np.int16], *, num_frames: int) -> None:
        assert len(sound) == num_frames
        assert sound.flags.c_contiguous
        self.taken.append(sound.copy())


@pytest.mark.parametrize("channels", [1, 2])
def test_16_bits_become_the_upper_half_of_32_and_back(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = np.random.default_rng(2).integers(-(2**15), 2**15, (BLOCK, channels)).astype(np.int16)
    stream = Stream(pcm.tobytes())
    monkeypatch.setattr(portaudio, "_open", lambda *_: ("pyaudio:x", stream, 2, channels))
    block = np.empty((BLOCK, 2), dtype=np.int32)
    portaudio.PortAudioInput("x", block_frames=BLOCK).read(block)
    np.testing.assert_array_equal(block, np.repeat(pcm, 2 // channels, axis=1).astype(np.int32) << 16)
    loudspeaker = portaudio.PortAudioOutput("x", block_frames=BLOCK)
    for frames in (BLOCK, 0, 3, 5 * BLOCK):
        loudspeaker.write(np.resize(block, (frames, 2)))
    np.testing.assert_array_equal(stream.taken[0], pcm)
    assert [len(sound) for sound in stream.taken] == [BLOCK, 3, 5 * BLOCK]


def test_a_short_read_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portaudio, "_open", lambda *_: ("pyaudio:x", Stream(bytes(8)), 4, 2))
    with pytest.raises(StreamEnded, match="less than a block"):
        portaudio.PortAudioInput("x", block_frames=BLOCK).read(np.empty((BLOCK, 2), dtype=np.int32))


def blocks(seconds: float, drift: float = 0.0, jitter_ms: float = 0.0) -> Iterator[float]:
    """Times at which blocks arrive, seconds."""
    late = np.random.default_rng(3).uniform(0, jitter_ms / 1000, round(seconds * 50))
    for number, delay in enumerate(late, 1):
        yield number * 0.02 * (1 + drift) + float(delay)


@pytest.mark.parametrize("drift", [-300e-6, 0.0, 300e-6])
def test_drift_and_jitter_are_no_loss(drift: float) -> None:
    meter = LossMeter(BLOCK)
    assert sum(meter.block(BLOCK, now) for now in blocks(600, drift, jitter_ms=35)) == 0


def test_a_sound_server_that_changes_its_latency_is_no_loss() -> None:
    meter = LossMeter(BLOCK)
    assert not any(meter.block(BLOCK, now + 0.02 * (now > 5)) for now in blocks(20, jitter_ms=3))


@pytest.mark.parametrize("drift", [-300e-6, 0.0, 300e-6])
def test_each_loss_is_counted_once(drift: float) -> None:
    meter = LossMeter(BLOCK)
    lost = {1000: 0.04, 2000: 0.5, 2500: 0.06}
    gone, counted = 0.0, 0
    for number, now in enumerate(blocks(100, drift, jitter_ms=5)):
        gone += lost.get(number, 0.0)
        counted += meter.block(BLOCK, now + gone)
    assert counted == len(lost)
