"""The example configurations: accepted as they stand, explained key by key, and telling the deployments apart."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from edge_agent import config
from edge_agent.agent import wishes

ROOT = Path(__file__).parent.parent
MADE_BY_THE_DEMO = {"docs/pictures/demo-timeline.png"}
EXAMPLES = sorted((ROOT / "docs/examples").glob("*.toml"))


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def example(request: pytest.FixtureRequest) -> Path:
    path = request.param
    assert isinstance(path, Path)
    return path


def test_the_three_deployments_and_a_translator_have_an_example() -> None:
    assert {"field", "kiosk", "speaker", "translator"} <= {path.stem for path in EXAMPLES}


def test_an_example_loads_as_it_stands_and_its_model_can_do_it(example: Path) -> None:
    wishes.check(config.load(example))


def test_every_key_of_an_example_is_explained_above_it(example: Path) -> None:
    explained = False
    for number, line in enumerate(example.read_text().splitlines(), 1):
        if line.startswith("#"):
            explained = True
        elif re.match(r"\w+ *=", line):
            assert explained, f"{example.name}:{number} has no sentence: {line}"
        else:
            explained = False


def test_an_example_holds_no_secret(example: Path) -> None:
    assert not re.search(r"AIza|[A-Za-z0-9_-]{39}", example.read_text())


def test_kiosk_marks_turns_and_forgets_soon() -> None:
    kiosk = config.load(ROOT / "docs/examples/kiosk.toml")
    assert kiosk.manual_turns
    assert kiosk.idle_timeout_s <= 15
    assert kiosk.captions.file == ""


def test_a_kiosk_that_is_copied_as_it_stands_hears_and_gets_what_was_calibrated() -> None:
    kiosk = config.load(ROOT / "docs/examples/kiosk.toml")
    assert kiosk.panel.mute_gpio == -1, "an open pin would mute a device without a switch"
    assert left_to_calibration(kiosk.audio) == left_to_calibration(config.Audio())


def test_the_pins_of_a_kiosk_take_the_switch_and_the_knob_its_sentences_name() -> None:
    text = (ROOT / "docs/examples/kiosk.toml").read_text()
    wired = text.replace("mute_gpio = -1", "mute_gpio = 24").replace('knob = "none"', 'knob = "rotary"')
    panel = config.parse(tomllib.loads(wired), source="kiosk.toml").panel
    assert (panel.mute_gpio, panel.mute_closed, panel.volume_knob, panel.volume_gpio) == (24, "live", "rotary", [5, 6])


def test_speaker_listens_by_itself_with_a_bare_microphone_and_cancels_its_echo() -> None:
    speaker = config.load(ROOT / "docs/examples/speaker.toml")
    assert not speaker.manual_turns
    assert speaker.conversation.follow_up_s > 0
    assert speaker.wake.word
    assert speaker.panel.mute_gpio == -1, "an open pin would mute a device without a switch"
    assert (speaker.audio.input, speaker.audio.output) == (config.Audio().input, config.Audio().output)
    assert left_to_calibration(speaker.audio) == left_to_calibration(config.Audio())


def test_the_lines_for_a_speakerphone_take_the_place_of_those_above_them() -> None:
    text = (ROOT / "docs/examples/speaker.toml").read_text()
    instead = re.findall(r"^#   ((\w+) = .*)$", text, re.MULTILINE)
    assert len(instead) == 5
    for line, key in instead:
        text, found = re.subn(rf"^{key} = .*$", line, text, count=1, flags=re.MULTILINE)
        assert found, key
    audio = config.parse(tomllib.loads(text), source="speaker.toml").audio
    assert (audio.echo, audio.input, audio.mic_gain_db, audio.mic_channel) == ("hardware", "pyaudio:Jabra", 0.0, "mono")


def left_to_calibration(audio: config.Audio) -> tuple[float, str, int, str]:
    """Return what calibration decides where it stands at its default; a value of the example's own would win."""
    return audio.mic_gain_db, audio.mic_channel, audio.volume_max, audio.echo


def test_field_uses_the_hook_and_little_data() -> None:
    field = config.load(ROOT / "docs/examples/field.toml")
    assert field.panel.button == "hook"
    assert field.live.message_ms > config.Live().message_ms
    assert not field.live.prewarm


def test_what_stays_alone_records_its_faults_and_no_example_records_words(example: Path) -> None:
    loaded = config.load(example)
    assert not loaded.recorder.captions
    assert bool(loaded.recorder.folder) is (example.stem in {"field", "kiosk"})


def test_a_household_is_told_that_it_is_remembered_and_what_it_may_spend() -> None:
    speaker = config.load(ROOT / "docs/examples/speaker.toml")
    assert speaker.conversation.remember_s > 0
    assert "handle to the" in (ROOT / "docs/examples/speaker.toml").read_text()
    assert 0 < speaker.budget.soft_per_day < speaker.budget.hard_per_day < speaker.budget.hard_per_month


def test_the_translator_hears_while_it_speaks() -> None:
    translator = config.load(ROOT / "docs/examples/translator.toml")
    assert wishes.continuous(translator)
    assert translator.live.translate_to
    assert not translator.manual_turns
    assert translator.echo == "hardware"


def test_readme_and_hardware_name_files_that_exist() -> None:
    for page in (ROOT / "README.md", ROOT / "hardware.md"):
        for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
            if "://" not in target and target not in MADE_BY_THE_DEMO:
                assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_settings_quoted_in_the_hardware_page_are_accepted() -> None:
    text = (ROOT / "hardware.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        config.parse(tomllib.loads(block), source="hardware.md")


@pytest.mark.skipif(shutil.which("aplay") is None, reason="aplay is not on this machine")
@pytest.mark.parametrize("name", ["edge_mic", "edge_speaker"])
def test_alsa_reads_the_names_of_the_sound_card(name: str, tmp_path: Path) -> None:
    both = tmp_path / "alsa.conf"
    both.write_text(f"</usr/share/alsa/alsa.conf>\n<{ROOT / 'docs/examples/asound.conf'}>\n")
    answer = subprocess.run(
        ["aplay", "-q", "-D", name, "-d", "1", "/dev/zero"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | {"ALSA_CONFIG_PATH": str(both), "LC_ALL": "C"},
    )
    assert f"Unknown PCM {name}" not in answer.stderr
    assert answer.returncode == 0 or "sndrpigooglevoi" in answer.stderr, answer.stderr
