"""The tables [audio], [camera], [panel], [wake], [control] and [recorder]: what the device has, and what it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_agent.config.checks import daily_hours, wake_stop, wake_words
from edge_agent.config.declaring import between, device, setting


@dataclass(slots=True)
class Audio:
    """Microphone and loudspeaker."""

    input: str = setting(
        "pyaudio:edge_mic",
        "The microphone.",
        check=device("pyaudio:NAME", "alsa:PCM", "wav:PATH", "room:FILE.toml", "silence:"),
    )
    output: str = setting(
        "pyaudio:edge_speaker",
        "The loudspeaker.",
        check=device("pyaudio:NAME", "alsa:PCM", "wav:PATH", "room:FILE.toml", "null:"),
    )
    block_ms: int = setting(
        20,
        "Sound is read and written in blocks of this length; 40 on a Zero 2 W or Pi 3.",
        unit="ms",
        check=lambda v: None if v in {10, 20, 40, 100} else "10, 20, 40 or 100",
    )
    mic_gain_db: float = setting(
        24.0,
        "Gain before the cut to 16 bits; I2S microphones are quiet.",
        unit="dB",
        effect="now",
        check=between(-20, 60),
    )
    mic_channel: Literal["auto", "left", "right", "mono"] = setting(
        "auto", "Which slot the microphone fills; auto takes the louder one of the first second."
    )
    volume: int = setting(
        60,
        "Loudness, perceptual, 0 to 100; the volume last set by a person wins over this.",
        effect="now",
        check=between(0, 100),
    )
    alarm_volume: int = setting(
        40,
        "A timer or alarm rings at least this loud, 0 to 100, however low the volume is.",
        effect="now",
        check=between(0, 100),
    )
    volume_max: int = setting(
        100,
        "The loudest this device may be, 1 to 100: for ctl, the model, the knob and alarms alike.",
        effect="now",
        check=between(1, 100),
    )
    quiet_hours: str = setting(
        "",
        'Hours of the day in which the volume is at most quiet_volume, local time, such as "22:00-07:00"; empty: none. '
        "What somebody sets within them holds until they end; alarms keep to alarm_volume.",
        effect="now",
        check=daily_hours,
    )
    quiet_volume: int = setting(
        25, "The most volume within quiet_hours, 0 to 100.", effect="now", check=between(0, 100)
    )
    echo: Literal["auto", "software", "hardware", "half-duplex", "off"] = setting(
        "auto",
        "Keeps the device from hearing itself where the microphone is open while it speaks; push-to-talk and a handset "
        "need none. auto: what calibration found, software if it never ran; software: an echo canceller; "
        "hardware: the sound card cancels its own echo; half-duplex: shut the microphone while the device speaks; "
        "off: headphones, what the microphone hears while the device speaks is believed to be a person.",
    )
    canceller: Literal["auto", "aec3", "speex"] = setting(
        "auto", "The echo canceller of echo = software; auto takes the first of them that is installed."
    )
    pre_roll_ms: int = setting(
        500,
        "Sound kept from before the press, so that the first syllable is not lost.",
        unit="ms",
        effect="now",
        check=between(0, 2000),
    )
    cues: bool = setting(True, "Short sounds at the start and end of a turn.", effect="now")
    cue_sounds: str = setting("", "A TOML file of such sounds that replaces the built-in one.")


@dataclass(slots=True)
class Camera:
    """The camera."""

    source: str = setting("off", "The camera.", check=device("picamera2:", "v4l2:/dev/video0", "files:DIR", "off"))
    when: Literal["turn", "stream", "ask"] = setting(
        "turn",
        "turn: one still as a turn starts; stream: at most one a second while listening; "
        "ask: only when the model calls look.",
        effect="connection",
    )
    max_px: int = setting(768, "Longest side of a still; the model's native size.", unit="px", check=between(64, 4096))
    max_kb: int = setting(256, "A larger still is not sent.", unit="kB", check=between(8, 4096))


@dataclass(slots=True)
class Panel:
    """Button, light, mute switch and volume knob."""

    pins: Literal["lgpio", "mock", "none"] = setting(
        "lgpio", "The pin library: lgpio on a Pi, mock for tests and demo, none without a panel."
    )
    button_gpio: int = setting(17, "BCM number of the button's pin.", check=between(0, 53))
    button: Literal["button", "hook"] = setting(
        "button", "What sits on the pin: a push button, or a handset's hook switch (closed while lifted)."
    )
    led_gpio: int = setting(27, "BCM number of the light's pin.", check=between(0, 53))
    led_rgb_gpio: list[int] = setting(  # noqa: RUF009  a field with a factory, not a shared list
        [],
        "Three BCM numbers, red, green, blue, for an RGB light; wins over led_gpio.",
        check=lambda v: (
            None
            if len(v) in {0, 3} and all(0 <= n <= 53 for n in v)
            else "three BCM numbers from 0 to 53, such as [27, 22, 23]"
        ),
    )
    tap_ms: int = setting(
        250,
        "A press shorter than this is a tap: start, then tap again to end.",
        unit="ms",
        effect="now",
        check=between(50, 2000),
    )
    long_press_ms: int = setting(
        1500,
        "A press at least this long ends the conversation (open microphone only; "
        "with push-to-talk a long press is a long sentence).",
        unit="ms",
        effect="now",
        check=between(500, 10000),
    )
    debounce_ms: int = setting(
        5,
        "A level must be stable this long to count; more for an old, noisy contact.",
        unit="ms",
        effect="now",
        check=between(0, 100),
    )
    patterns: str = setting("", "A TOML file of light patterns that replaces the built-in one.")
    mute_gpio: int = setting(
        -1,
        "BCM number of the mute switch's pin, such as 24; -1: there is none. What it says beats every other unmute.",
        check=between(-1, 53),
    )
    mute_closed: Literal["live", "muted"] = setting(
        "live",
        "What the mute switch says while its contact is closed to ground. live: a broken wire mutes; "
        "muted: a broken wire goes unnoticed, and the microphone stays live.",
    )
    volume_knob: Literal["none", "rotary", "buttons"] = setting(
        "none", "What sets the volume by hand: nothing, a rotary encoder, or two buttons."
    )
    volume_gpio: list[int] = setting(  # noqa: RUF009  a field with a factory, not a shared list
        [5, 6],
        "Two BCM numbers for volume_knob: the encoder's phases A and B, or the buttons for louder and quieter.",
        check=lambda v: (
            None if len(v) == 2 and all(0 <= n <= 53 for n in v) else "two BCM numbers from 0 to 53, such as [5, 6]"
        ),
    )


@dataclass(slots=True)
class Wake:
    """The wake word, in speaker mode."""

    word: str = setting(
        "",
        "What is said to start a turn: okay_nabu, hey_jarvis, hey_mycroft, alexa, or the path of an own microWakeWord "
        "model; several with commas; empty: button only.",
        check=wake_words,
    )
    stop: str = setting(
        "",
        "Path of an own microWakeWord model of a word that ends an answer, such as stop; empty: none.",
        check=wake_stop,
    )
    sensitivity: float = setting(
        0.5,
        "Higher hears the words more often, also where nobody said them; 0.5 is each model's own measure.",
        check=between(0, 1),
    )


@dataclass(slots=True)
class Control:
    """Local control."""

    socket: str = setting(
        "/run/edge-agent/control.sock", "Path of the control socket; who may use it is decided by file permission."
    )


@dataclass(slots=True)
class Recorder:
    """The flight recorder: the last minutes before a fault, without sound."""

    folder: str = setting("", "Folder for its files, made when missing; empty: nothing is recorded.")
    minutes: float = setting(
        5.0, "How far back a file reaches, at most.", unit="minutes", effect="restart", check=between(0.5, 60)
    )
    max_mb: float = setting(
        8.0,
        "Room for the newest five files together; one of them, and the memory it grows in, is a fifth of this.",
        unit="MB",
        check=between(0.5, 200),
    )
    captions: bool = setting(False, "Record what people and the model said, in words; else only how long it was.")
