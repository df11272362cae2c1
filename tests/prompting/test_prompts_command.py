"""`edge-agent prompts` from the command line to the folder of sounds, and from there to the device."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from harness import KEY
from prompting.conftest import seconds_for, speaker, spoken

from edge_agent import config as settings
from edge_agent import prompts
from edge_agent.agent.utterance import read, utter
from edge_agent.audio.wavfile import read_wav, write_wav
from edge_agent.cli import main
from edge_agent.prompts import NAMES, sounds
from edge_agent.service.state import StateFile
from edge_agent.simulator import Hang, SyncTwin, scriptfile

Configured = Callable[..., Path]
ALL = len(NAMES)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a wire of no length nothing comes late."""
    for name in ("LINGER_S", "LATE_S", "AGAIN_S"):
        monkeypatch.setattr(f"edge_agent.prompting.recorder.{name}", 0.02)


def call(path: Path, action: str, *words: str) -> int:
    return main(["prompts", action, "--config", str(path), *words])


def test_every_sentence_is_recorded_once_and_then_played(
    twin: SyncTwin, configured: Configured, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configured(twin.url, live='voice = "Kore"')
    assert call(path, "record", "--language", "de") == 0
    told = capsys.readouterr().out.splitlines()
    folder = tmp_path / "prompts" / "de" / "recorded"
    assert told[0] == f"Recording {ALL} sentences with the voice Kore, to {tmp_path / 'prompts'}"
    assert re.fullmatch(rf"1/{ALL}  offline  \d\.\d s", told[1])
    assert len(told) == ALL + 2
    assert re.fullmatch(rf"{ALL} of {ALL} sentences recorded; \d+ tokens in, \d+ out, about 0\.\d{{4}} USD\.", told[-1])
    assert len(twin.sessions) == 1

    config = settings.load(path)
    config.conversation.prompts = "de"
    for name, sentence in prompts.load("de").sentences.items():
        found = utter(name, sentence, config)
        assert (found.source, found.path) == ("recorded", folder / f"{name}.wav")
        samples, rate = read_wav(folder / f"{name}.wav")
        assert (rate, samples.shape[1]) == (24_000, 1)
        assert len(samples) / rate == pytest.approx(seconds_for(sentence.text) + 0.2, abs=0.05), "without the silence"
        note = json.loads((folder / f"{name}.json").read_text())
        assert (note["text"], note["voice"], note["model"]) == (sentence.text, "Kore", config.live.model)
    assert call(path, "check", "--language", "de") == 0
    assert capsys.readouterr().out == f"{ALL} sentences in 'de': {ALL} recorded.\n"

    assert call(path, "record", "--language", "de") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing is left to record."
    assert len(twin.sessions) == 1, "nothing was asked for a second time"


def test_an_interrupted_recording_goes_on_where_it_was(
    twin: SyncTwin, configured: Configured, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configured(twin.url)
    keep, count = sounds.keep, 0

    def ctrl_c(*args: object, **more: object) -> Path:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return keep(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(sounds, "keep", ctrl_c)
    wanted = ["offline", "no_answer", "muted", "timer_over"]
    only = [word for name in wanted for word in ("--only", name)]
    assert call(path, "record", *only) == 1
    assert "2 of 4 sentences recorded; " in capsys.readouterr().out
    monkeypatch.setattr(sounds, "keep", keep)
    assert call(path, "record", *only) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[:3] == ["offline: is recorded already", "no_answer: is recorded already", told[2]]
    assert told[2].startswith("Recording 2 sentences")
    _, second = twin.sessions
    sentence = prompts.load("en").sentence
    assert [sentence(name).text in text for name, text in zip(wanted[2:], second.texts, strict=True)] == [True, True]


def test_what_came_out_differently_is_told_and_not_kept(
    configured: Configured, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bye = (spoken("Time is up.", "Time is up, my friend."),)
    with SyncTwin(speaker({"Time is up.": [bye] * 3}), key=KEY) as twin:
        assert call(configured(twin.url), "record", "--only", "timer_over", "--only", "muted") == 1
    told = capsys.readouterr().out.splitlines()
    assert told[1:3] == ['1/2  timer_over  it said "Time is up, my friend."; once more'] * 2
    assert told[3] == '1/2  timer_over  not kept: it said "Time is up, my friend."'
    assert told[4].startswith("2/2  muted  ")
    assert told[5].startswith("1 of 2 sentences recorded; ")
    assert [one.name for one in sorted((tmp_path / "prompts/en/recorded").iterdir())] == ["muted.json", "muted.wav"]


def test_a_new_voice_or_a_wish_records_again_and_another_model_does_not(
    twin: SyncTwin, configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    only = ("--only", "timer_over")
    assert call(configured(twin.url, live='voice = "Kore"'), "record", *only) == 0
    other_voice = configured(twin.url, live='voice = "Puck"')
    assert call(other_voice, "check") == 0
    told = capsys.readouterr().out
    assert "timer_over.wav was recorded with the voice Kore of gemini-3.8-live; it is played all the same." in told
    assert call(other_voice, "record", *only) == 0
    other_model = configured(twin.url, live='voice = "Puck"\nmodel = "gemini-2.5-flash-native-audio-preview-12-2025"')
    assert call(other_model, "record", *only) == 0
    assert len(twin.sessions) == 2
    assert call(configured(twin.url, live='voice = "Puck"'), "record", *only, "--again") == 0
    assert len(twin.sessions) == 3


def test_the_voice_is_the_personas(twin: SyncTwin, configured: Configured, tmp_path: Path) -> None:
    otto = tmp_path / "otto"
    otto.mkdir()
    (otto / "instruction.md").write_text("You are Otto.")
    (otto / "persona.toml").write_text('voice = "Charon"\n')
    path = configured(twin.url)
    path.write_text(f'persona = "{otto}"\n' + path.read_text())
    assert call(path, "record", "--only", "timer_over") == 0
    found = sounds.recording(tmp_path / "prompts", "timer_over", "en")
    assert found is not None
    assert found.voice == "Charon"
    assert "Charon" in str(twin.session.setup)


def test_the_owners_sound_is_left_and_a_broken_one_is_recorded(
    twin: SyncTwin, configured: Configured, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "prompts" / "en"
    own.mkdir(parents=True)
    write_wav(own / "timer_over.wav", np.full(4_800, 0.1, np.float32), 8_000)
    (own / "muted.wav").write_text("no sound")
    assert call(configured(twin.url), "record", "--only", "timer_over", "--only", "muted", "--again") == 0
    assert f"timer_over: has a sound of its own, {own / 'timer_over.wav'}" in capsys.readouterr().out
    assert [path.stem for path in (own / "recorded").glob("*.wav")] == ["muted"]


def test_recordings_go_to_the_state_folder_where_the_owners_is_not_to_be_written(
    twin: SyncTwin,
    configured: Configured,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and access(path, mode))
    (tmp_path / "state").mkdir()
    path = configured(twin.url)
    assert call(path, "record", "--only", "timer_over") == 0
    place = tmp_path / "state" / "edge-agent" / "prompts"
    assert read(place / "en" / "recorded" / "timer_over.wav").rate == 24_000
    assert f"Only a device that runs as you finds them in {place}" in capsys.readouterr().out
    assert utter("timer_over", prompts.Sentence("Time is up.", "en"), settings.load(path)).source == "recorded"
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert call(path, "record", "--only", "timer_over") == 2
    assert "set conversation.prompts_folder to a folder of yours" in capsys.readouterr().err


def test_a_disk_that_cannot_be_written_ends_it_with_a_sentence(
    twin: SyncTwin, configured: Configured, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sounds, "keep", full)
    assert call(configured(twin.url), "record", "--only", "timer_over", "--only", "muted") == 1
    told = capsys.readouterr()
    assert "cannot be written: No space left on device" in told.err
    assert "0 of 2 sentences recorded" in told.out


def test_the_list_shows_what_speaks_each_sentence(
    twin: SyncTwin, configured: Configured, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = configured(twin.url)
    assert call(path, "record", "--only", "muted") == 0
    write_wav(tmp_path / "prompts" / "en" / "timer_over.wav", np.full(4_800, 0.1, np.float32), 8_000)
    (tmp_path / "prompts" / "en" / "no_answer.wav").write_text("no sound")
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/espeak-ng")
    capsys.readouterr()
    assert call(path, "list") == 0
    lines = [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == list(NAMES)
    shown = {line[0]: line[1:] for line in lines}
    assert shown["timer_over"] == ["own WAV", "en", "Time is up."]
    assert shown["muted"] == ["recorded", "en", prompts.load("en").sentence("muted").text]
    assert shown["no_answer"][0] == "espeak-ng"
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert call(path, "list", "--language", "sv") == 0
    assert "silent" in capsys.readouterr().out


def test_the_check_finds_what_will_never_be_heard(
    twin: SyncTwin, configured: Configured, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = configured(twin.url)
    assert (
        call(path, "record", *(word for name in ("muted", "timer_over", "no_answer") for word in ("--only", name))) == 0
    )
    place = tmp_path / "prompts"
    (place / "en.toml").write_text('muted = "I hear nothing."\n')
    (place / "en" / "recorded" / "no_answer.json").unlink()
    (place / "en" / "fualt-4.wav").write_text("?")
    (place / "en" / "fault-4.mp3").write_text("?")
    (place / "en" / "offline.wav").write_text("?")
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/espeak-ng")
    capsys.readouterr()
    assert call(path, "check") == 1
    told = capsys.readouterr().out.splitlines()
    was = prompts.load("en").sentence("muted").text
    says = f'{place / "en/recorded/muted.wav"} says "{was}", and the sentence is another one now'
    assert told == [
        f"{place / 'en/fault-4.mp3'} is not looked at; sounds are called NAME.wav.",
        f"{place / 'en/fualt-4.wav'}: there is no sentence of this name; edge-agent prompts list shows them.",
        f"{place / 'en/offline.wav'} is not a WAV file; allowed is PCM of 8, 16, 24 or 32 bits or float of 32 bits.",
        f"{says}; record it again.",
        f"{place / 'en/recorded/no_answer.wav'} has no note that tells what it says; record it again.",
        f"{ALL} sentences in 'en': 1 recorded, {ALL - 1} espeak-ng.",
    ]


def test_without_any_voice_the_check_fails(
    configured: Configured, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert call(configured("ws://127.0.0.1:9"), "check") == 1
    told = capsys.readouterr().out
    assert f"{ALL} sentences have no sound at all: install espeak-ng" in told


@pytest.mark.parametrize(
    ("words", "part"),
    [(["--only", "godbye"], "there is no sentence godbye"), (["--ca", "/no/such.pem"], "/no/such.pem: No such file")],
)
def test_what_cannot_be_used_is_said_before_anything_is_asked(
    twin: SyncTwin, configured: Configured, capsys: pytest.CaptureFixture[str], words: list[str], part: str
) -> None:
    assert call(configured(twin.url), "record", *words) == 2
    assert part in capsys.readouterr().err
    assert not twin.sessions


def test_a_refused_key_ends_the_recording(
    configured: Configured, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with SyncTwin(speaker(), key="another key") as twin:
        assert call(configured(twin.url), "record", "--only", "timer_over", "--only", "muted") == 1
        assert len(twin.refused) + len(twin.sessions) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[1].startswith("1/2  timer_over  not kept: ")
    assert told[2].startswith("2/2  muted  not asked: ")
    assert not list(tmp_path.glob("prompts/**/*.wav"))


def test_a_recording_counts_in_the_devices_account_and_ends_at_a_cap(
    twin: SyncTwin, configured: Configured, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = configured(twin.url, more=f'[control]\nsocket = "{tmp_path / "none.sock"}"\n[budget]\nhard_per_day = 0.004')
    assert call(path, "record") == 1
    told = capsys.readouterr().out.splitlines()
    kept = list((tmp_path / "prompts").glob("en/recorded/*.wav"))
    assert 1 < len(kept) < ALL - 5, "some of it went through"
    (last,) = [number for number, line in enumerate(told) if "not asked: The 0.0040 USD for today" in line][:1]
    assert last == len(kept) + 1, "the first sentence that was not asked for comes after the last that was kept"
    (session,) = twin.sessions
    assert len(session.texts) == len(kept)
    store = StateFile()
    assert store.load() == []
    day = store.section("budget")["day"]
    assert 0.004 <= day["money"] < 0.006, "overrun by the one sentence that reached it"
    assert f"about {day['money']:.4f} USD" in told[-1]
    assert min(day["up"], day["down"] / 10) > 1000

    assert call(path, "record") == 1
    assert "edge-agent prompts: The 0.0040 USD for today are used up" in capsys.readouterr().err
    assert len(twin.sessions) == 1, "nothing was asked"


def test_a_service_that_says_nothing_is_a_sentence(configured: Configured, capsys: pytest.CaptureFixture[str]) -> None:
    path = configured("URL")
    with SyncTwin(speaker({"Time is up.": [(Hang(),)] * 3}), key=KEY) as twin:
        path.write_text(path.read_text().replace("URL", twin.url).replace("timeout_s = 1.0", "timeout_s = 1"))
        assert call(path, "record", "--only", "timer_over") == 1
    assert "timer_over  not kept: The service said nothing for 1 s." in capsys.readouterr().out


def test_a_script_for_the_twin_alone_serves_a_recording(configured: Configured, tmp_path: Path) -> None:
    """`edge-agent simulate --script FILE` is enough to try it without a key."""
    script = tmp_path / "speaks.toml"
    sentence = prompts.load("en").sentence("timer_over").text
    script.write_text(f'[[turn]]\nwhen = {{ text = "{sentence}" }}\nsteps = [{{ say = "{sentence}" }}]\n')
    with SyncTwin(scriptfile.load(script), key=KEY) as twin:
        assert call(configured(twin.url), "record", "--only", "timer_over") == 0
    assert read(tmp_path / "prompts" / "en" / "recorded" / "timer_over.wav").rate == 24_000
