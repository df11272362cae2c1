"""Every block of docs/extending.md is run as it stands there and found as the daemon finds it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent import config, prompts, wake
from edge_agent.audio.cues import load_cues
from edge_agent.audio.devices import open_input
from edge_agent.config.checks import BUILT_IN_WORDS, split_words
from edge_agent.errors import DeviceError
from edge_agent.panel.light import load_patterns
from edge_agent.prompts.sounds import sources
from edge_agent.tools.declare import declare, tool
from edge_agent.tools.registry import find_tools
from edge_agent.tools.runner import Call, ToolRunner

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "extending.md"
_BLOCK = re.compile(r"^`([^`\n]+)`:\n\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections() -> dict[str, list[tuple[str, str]]]:
    """Heading up to its colon -> the files named in that section, each as (path, text)."""
    _, *parts = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    return {
        part.partition("\n")[0].partition(":")[0]: [(path, text) for path, _, text in _BLOCK.findall(part)]
        for part in parts
    }


def file(section: str, name: str) -> str:
    """The text of the block headed by a path that ends in `name`."""
    (text,) = [text for path, text in sections()[section] if path.endswith(name)]
    return text


def install(site: Path, name: str, declared: str) -> None:
    """Put a distribution on `site` with the entry points of a pyproject.toml, as pip would have."""
    tree = tomllib.loads(declared)["project"]["entry-points"]
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in tree[group].items()) for group in tree]
    (info / "entry_points.txt").write_text("\n".join(lines))


def configured(section: str) -> config.Config:
    """The page's pieces of configuration in one section, read and checked."""
    text = "".join(text for path, text in sections()[section] if path.endswith("config.toml"))
    return config.parse(tomllib.loads(text), source="docs/extending.md")


def test_every_block_with_code_is_under_test() -> None:
    text = PAGE.read_text()
    opened = len(re.findall(r"^```\w+$", text, re.MULTILINE))
    assert opened == sum(map(len, sections().values())) == 13
    assert list(sections()) == ["A tool", "A device", "A light pattern", "A wake word", "A prompt language"]


def test_a_tool_in_the_owners_folder_answers_the_model(tmp_path: Path) -> None:
    folder = tmp_path / "tools"
    folder.mkdir(mode=0o755)
    path = folder / "opening_hours.py"
    path.write_text(file("A tool", "tools/opening_hours.py"))
    path.chmod(0o644)
    found = find_tools(folder=folder, entry_points=[], owner_uid=os.getuid())
    assert not found.skipped
    declared = found.tools["opening_hours"].declaration()
    assert declared["description"] == "Tell when the museum is open."
    assert declared["parameters"]["properties"]["day"] == {
        "type": "STRING",
        "enum": ["weekday", "weekend"],
        "description": "Saturday and Sunday are the weekend.",
    }

    async def ask(day: str) -> dict[str, Any]:
        runner = ToolRunner(found.tools, deadline_s=5.0, on_answer=lambda _: None)
        return (await runner.run(Call("1", "opening_hours", {"day": day}))).response

    assert asyncio.run(ask("weekend")) == {"result": "10 to 20 o'clock"}
    assert "weekday" in asyncio.run(ask("someday"))["error"]


def test_what_a_tool_can_be_marked_with_is_what_the_page_says() -> None:
    (marked,) = re.findall(r"`(@tool\(.*?\))`", PAGE.read_text())
    decorate = eval(marked.removeprefix("@").replace("name=...", "name='hours'"), {"tool": tool})  # noqa: S307

    def opening_hours() -> str:
        """Tell when the museum is open."""
        return "always"

    made = declare(decorate(opening_hours))
    assert (made.name, made.options.deadline_s, made.options.scheduling) == ("hours", 30, "when-idle")
    assert made.declaration()["behavior"] == "NON_BLOCKING"


def test_a_tool_of_an_installed_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "museum_edge_agent.py").write_text(file("A tool", "opening_hours.py"))
    install(tmp_path, "museum", file("A tool", "pyproject.toml"))
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        found = find_tools()
        assert found.tools["opening_hours"].source == "museum of museum"
    finally:
        sys.modules.pop("museum_edge_agent", None)


def test_a_device_of_an_installed_package_is_opened_and_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = configured("A device").audio.input
    with pytest.raises(DeviceError):
        open_input(device, block_frames=960, epoch=time.monotonic())
    (tmp_path / "tone_device.py").write_text(file("A device", "tone_device.py"))
    install(tmp_path, "edge-agent-tone", file("A device", "pyproject.toml"))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [entry.name for entry in importlib.metadata.entry_points(group="edge_agent.devices")] == ["tone"]
    try:
        begun = time.monotonic()
        microphone = open_input(device, block_frames=960, epoch=begun)
        heard = np.zeros((9600, 2), np.int32)
        for block in heard.reshape(10, 960, 2):
            assert microphone.read(block) == 0
        microphone.close()
    finally:
        sys.modules.pop("tone_device", None)
    assert microphone.name == "tone:440"
    assert time.monotonic() - begun >= 0.2, "it hears faster than real time"
    np.testing.assert_array_equal(heard[:, 0], heard[:, 1])
    spectrum = np.abs(np.fft.rfft(heard[:, 0] * np.hanning(9600)))
    assert np.argmax(spectrum) * 5 == 440  # 5 Hz to a bin
    assert np.max(np.abs(heard)) / 2**31 == pytest.approx(0.1, rel=0.01)


def test_a_light_pattern_of_the_owners_replaces_one_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "lights.toml"
    path.write_text(file("A light pattern", "lights.toml"))
    assert Path(configured("A light pattern").panel.patterns).name == path.name
    built_in, own = load_patterns(), load_patterns(path)
    assert {name for name in own if own[name] != built_in[name]} == {"thinking"}
    assert own["thinking"].at(0.15 - 0.001) == pytest.approx((0.6, 0.0, 1.0))
    assert min(max(own["thinking"].at(t / 100)) for t in range(60)) == pytest.approx(0.2)


def test_cues_of_the_owners_replace_two_and_leave_the_others(tmp_path: Path) -> None:
    path = tmp_path / "cues.toml"
    path.write_text(file("A light pattern", "cues.toml"))
    assert Path(configured("A light pattern").audio.cue_sounds).name == path.name
    built_in, own = load_cues(), load_cues(path)
    assert {name for name in own if not np.array_equal(own[name], built_in[name])} == {"listen", "done"}
    assert len(own["listen"]) == 24_000 * 120 // 1000
    assert not len(own["done"])


def test_a_wake_word_of_the_owners_is_taken_beside_a_built_in_one(tmp_path: Path) -> None:
    built_in, own = split_words(configured("A wake word").wake.word)
    assert built_in in BUILT_IN_WORDS
    (path,) = [Path(path) for path, _ in sections()["A wake word"] if path.endswith(".json")]
    assert own == str(path)
    (tmp_path / path.name).write_text(file("A wake word", path.name))
    (tmp_path / "museum.tflite").write_bytes(wake.find(built_in).data)
    detector = wake.open_detector(config.Wake(word=f"{built_in}, {tmp_path / path.name}"))
    assert detector is not None
    assert len(detector.words) == 2
    assert "Hey Museum" in detector.words
    detector.close()


def test_a_sound_of_the_owners_is_played_in_place_of_its_sentence(tmp_path: Path) -> None:
    (place,) = re.findall(r"`/etc/edge-agent/prompts/(\S+\.wav)`", PAGE.read_text())
    (tmp_path / "sv.toml").write_text(file("A prompt language", "sv.toml"))
    sound = tmp_path / place
    sound.parent.mkdir()
    sound.write_bytes(b"RIFF...")
    sentence = prompts.load("sv", extra_dir=tmp_path).sentence(sound.stem)
    assert sentence.language == "sv", "the page's file has words for it too"
    assert [wav.path for wav in sources(sound.stem, sentence, "sv", [tmp_path])] == [sound]


def test_a_prompt_language_of_the_owners_is_spoken_and_falls_back(tmp_path: Path) -> None:
    (tmp_path / "sv.toml").write_text(file("A prompt language", "sv.toml"))
    language = configured("A prompt language").conversation.prompts
    (path,) = [Path(path) for path, _ in sections()["A prompt language"] if path.endswith("sv.toml")]
    assert (language, configured("A prompt language").prompts_folder) == ("sv", path.parent)
    assert "sv" not in prompts.languages(), "the page shows a language that is there already"
    loaded = prompts.load(language, extra_dir=tmp_path)
    assert loaded.sentence("timer_over") == prompts.Sentence("Tiden är ute.", "sv")
    assert loaded.sentence("fault-12").language == "en"


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng speaks the device's sentences")
def test_the_language_of_the_page_has_a_voice() -> None:
    voices = subprocess.run(["espeak-ng", "--voices"], capture_output=True, text=True, timeout=20, check=True).stdout
    assert configured("A prompt language").conversation.prompts in {line.split()[1] for line in voices.splitlines()}
