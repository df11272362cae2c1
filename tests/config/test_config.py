"""Every setting explains itself, survives a round trip, and is refused with file, key, fault and remedy."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import Config, adopt, changes, load, parse, settings
from edge_agent.config.checks import span
from edge_agent.config.declaring import Setting
from edge_agent.errors import ConfigError
from edge_agent.service.config_command import as_toml

_SETTINGS = list(settings(Config()))

_TOML = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.text(max_size=8), deeper, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("entry", _SETTINGS, ids=lambda entry: entry.key)
def test_every_setting_says_why_it_is_there(entry: Setting) -> None:
    assert entry.why.endswith("."), "a sentence"
    assert len(entry.why) > 10
    assert entry.effect in {"now", "connection", "restart"}
    number_with_unit = entry.key.endswith(("_ms", "_s", "_db", "_px", "_kb", "_mb_per_day", "_mb", ".minutes"))
    price_or_cap = entry.key.startswith("budget.") and entry.type == "a number"
    assert bool(entry.unit) == (number_with_unit or price_or_cap), "a quantity names its unit in key and table"


def test_every_default_is_allowed() -> None:
    tree: dict[str, Any] = {}
    for entry in _SETTINGS:
        table = tree
        *parents, name = entry.key.split(".")
        for parent in parents:
            table = table.setdefault(parent, {})
        table[name] = entry.default
    assert parse(tree, source="defaults") == Config()
    assert parse({}, source="empty") == Config()


def test_the_contract_of_names_and_defaults_holds() -> None:
    """Device owners, scripts and docs rely on these."""
    contract = tomllib.loads("""
        mode = "kiosk"
        persona = ""
        [live]
        url = ""
        api_version = "v1beta"
        model = "gemini-3.8-live"
        voice = "Puck"
        system_instruction = ""
        language = ""
        credential = "file:gemini-key"
        message_ms = 40
        prewarm = false
        resume_replay = "turn"
        [audio]
        input = "pyaudio:edge_mic"
        output = "pyaudio:edge_speaker"
        block_ms = 20
        mic_gain_db = 24.0
        mic_channel = "auto"
        volume = 60
        echo = "auto"
        pre_roll_ms = 500
        cues = true
        [camera]
        source = "off"
        when = "turn"
        max_px = 768
        max_kb = 256
        [panel]
        pins = "lgpio"
        button_gpio = 17
        led_gpio = 27
        tap_ms = 250
        [wake]
        word = ""
        [conversation]
        idle_timeout_s = 0
        max_turn_s = 60
        [control]
        socket = "/run/edge-agent/control.sock"
    """)
    assert parse(contract, source="contract") == Config()


_CHANGED = """
mode = "speaker"
persona = "/srv/museum"
live.url = "wss://proxy.museum.example:8443"
live.language = "de-DE"
audio.mic_gain_db = 12
audio.block_ms = 40
panel.led_rgb_gpio = [27, 22, 23]
conversation.prompts = "de"
tools.allow = ["weather", "opening_hours"]
"""


def test_a_written_configuration_reads_back_the_same(tmp_path: Path) -> None:
    config = parse(tomllib.loads(_CHANGED), source="x")
    file = tmp_path / "config.toml"
    file.write_text("\n".join(as_toml(config)))
    assert load(file) == config
    assert "volume = 60\n" in file.read_text()
    assert "block_ms = 40  # default: 20\n" in file.read_text()


@given(persona=st.text(), voice=st.text(), volume=st.integers(0, 100), gain=st.floats(-20, 60))
def test_any_value_survives_the_round_trip(persona: str, voice: str, volume: int, gain: float) -> None:
    config = Config(persona=persona)
    config.live.voice, config.audio.volume, config.audio.mic_gain_db = voice, volume, gain
    try:
        "\n".join(as_toml(config)).encode()
    except UnicodeEncodeError:
        return  # a lone surrogate cannot stand in a TOML file at all
    assert parse(tomllib.loads("\n".join(as_toml(config))), source="x") == config


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("modus = 'kiosk'", ["unknown key modus", "did you mean mode?"]),
        ("[audio]\nvolum = 3", ["unknown key audio.volum", "did you mean audio.volume?"]),
        ("[audio]\nzzz = 3", ["unknown key audio.zzz", "allowed are", "pre_roll_ms"]),
        ("mode = 'party'", ['mode = "party"', '"kiosk", "speaker"']),
        ("audio = 3", ["audio must be a table, not a whole number"]),
        ("[audio]\nvolume = '60'", ["audio.volume", "must be a whole number, not a string"]),
        ("[audio]\nvolume = 60.0", ["must be a whole number, not a number"]),
        ("[audio]\nvolume = true", ["must be a whole number, not true or false"]),
        ("[audio]\nvolume = 101", ["audio.volume = 101", "from 0 to 100"]),
        ("[audio]\nmic_gain_db = nan", ["from -20 to 60"]),
        ("[audio]\nmic_gain_db = 'loud'", ["must be a number, not a string"]),
        ("[audio]\nblock_ms = 30", ["10, 20, 40 or 100"]),
        ("[audio]\nblock_ms = 100", ["live.message_ms = 40 is not a multiple of audio.block_ms = 100"]),
        ("[audio]\ninput = 'microphone'", ["audio.input", "pyaudio:NAME"]),
        ("[panel]\nled_rgb_gpio = [1, 2]", ["three BCM numbers"]),
        ("[panel]\nled_rgb_gpio = ['a']", ["must be a list of whole numbers"]),
        ("[budget]\ncurrency = ' '", ["budget.currency", "USD"]),
        ("[budget]\nhard_per_day = -1", ["budget.hard_per_day", "from 0"]),
        ("[budget]\nsoft_per_day = 3\nhard_per_day = 2", ["soft_per_day = 3 is above", "hard_per_day = 2"]),
        ("[budget]\nsoft_per_month = 9\nhard_per_month = 8", ["soft_per_month = 9", "hard_per_month = 8"]),
        ("[panel]\nled_gpio = 17", ["panel.led_gpio", "button_gpio = 17", "pin twice"]),
        ("[panel]\nled_rgb_gpio = [5, 5, 6]", ["panel.led_rgb_gpio", "pin twice, 5"]),
        ("[panel]\nmute_gpio = 27", ["panel.mute_gpio", "panel.led_gpio = 27", "pin twice"]),
        ("[panel]\nvolume_knob = 'rotary'\nmute_gpio = 6", ["panel.volume_gpio", "panel.mute_gpio = 6", "pin twice"]),
        ("[panel]\nvolume_knob = 'buttons'\nvolume_gpio = [5, 5]", ["panel.volume_gpio", "pin twice, 5"]),
        ("[panel]\nvolume_gpio = [5]", ["panel.volume_gpio", "two BCM numbers", "[5, 6]"]),
        ("[panel]\nmute_gpio = 24\npins = 'none'", ["panel.mute_gpio = 24", 'panel.pins = "none"', "= -1"]),
        ("[audio]\nvolume_max = 0", ["audio.volume_max = 0", "from 1 to 100"]),
        ("[audio]\nquiet_hours = '22-7'", ["audio.quiet_hours", "HH:MM-HH:MM", "22:00-07:00"]),
        ("[audio]\nquiet_hours = '22:00-24:00'", ["audio.quiet_hours", "HH:MM-HH:MM"]),
        ("[audio]\nquiet_hours = '07:00-7:00'", ["audio.quiet_hours", "two different times"]),
        ("[wake]\nword = 'computer'", ["wake.word", "okay_nabu", "paths of .json"]),
        ("[wake]\nword = 'alexa, alexa'", ["wake.word", "different ones"]),
        ("[wake]\nword = 'alexa,'", ["wake.word", "okay_nabu"]),
        ("[wake]\nstop = 'stop'", ["wake.stop", "path of a .json"]),
        ("[wake]\nsensitivity = 1.5", ["wake.sensitivity", "from 0 to 1"]),
        ("[live]\nurl = 'ws://example.com'", ["live.url", "ws:// to this machine only"]),
        ("[live]\nurl = 'https://example.com'", ["wss://HOST"]),
        ("[live]\nurl = 'wss://[::1'", ["live.url", "an IPv6 address in [ ]"]),
        ("[live]\nurl = 'wss://h:99999'", ["live.url", "port (1 to 65535) only"]),
        ("[live]\napi_version = 'v2'", ["v1beta, v1alpha or v1"]),
        ("[live]\ncredential = 'env:'", ["live.credential", "file:NAME, env:NAME"]),
        ("mode = ", ["not TOML"]),
        ('mode = "two\\nlines"', ['mode = "two\\nlines"']),
        (f"[audio]\nmic_gain_db = {10**400}", ["from -20 to 60"]),
        ("mode = 'kiosk'\nmode = 'kiosk'", ["not TOML"]),
    ],
)
def test_a_wrong_setting_is_one_line_with_file_key_fault_and_remedy(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    sentence = str(caught.value)
    assert sentence.startswith(f"{file}: ")
    assert "\n" not in sentence
    for part in parts:
        assert part in sentence


@pytest.mark.parametrize(
    "text",
    [
        "[live]\ncredential = 'AIzaSyVerySecret'",
        "[live]\ncredential = 12345678",
        "[live]\nurl = 'wss://host?key=AIzaSyVerySecret'",
        "[live]\nurl = 'wss://user:AIzaSyVerySecret@host'",
    ],
)
def test_a_key_in_the_wrong_place_is_not_repeated_in_the_error(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(tomllib.loads(text), source="f")
    assert "VerySecret" not in str(caught.value)
    assert "12345678" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "wss://host", "wss://host:8443/path", "ws://localhost:9", "ws://127.0.0.1", "ws://[::1]:80"]
)
def test_urls_that_are_fine(url: str) -> None:
    assert parse({"live": {"url": url}}, source="f").live.url == url


@pytest.mark.parametrize(
    ("hours", "minutes"),
    [("", None), ("22:00-07:00", (1320, 420)), ("0:00-23:59", (0, 1439)), ("13:05-14:30", (785, 870))],
)
def test_quiet_hours_may_pass_midnight(hours: str, minutes: tuple[int, int] | None) -> None:
    assert span(parse({"audio": {"quiet_hours": hours}}, source="f").audio.quiet_hours) == minutes


def test_pins_of_a_knob_that_is_not_there_are_free() -> None:
    assert parse({"panel": {"led_rgb_gpio": [5, 6, 22], "mute_gpio": 24}}, source="f").panel.volume_knob == "none"


def test_a_missing_or_unreadable_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; give another with --config"):
        load(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'persona = "caf\xe9"')
    with pytest.raises(ConfigError, match=r"latin.toml: not TOML: no UTF-8 text \(at byte 14\)"):
        load(tmp_path / "latin.toml")


@given(st.dictionaries(st.sampled_from([f.name for f in dataclasses.fields(Config)]) | st.text(max_size=5), _TOML))
def test_any_tree_is_accepted_or_refused_never_a_crash(tree: dict[str, Any]) -> None:
    try:
        parse(tree, source="f")
    except ConfigError as error:
        assert str(error).startswith("f: ")  # noqa: PT017  the tree may also be accepted


@given(st.sampled_from([entry.key for entry in _SETTINGS]), _TOML)
def test_any_value_of_any_key_is_accepted_or_refused(key: str, value: Any) -> None:
    table, _, name = key.rpartition(".")
    try:
        parse({table: {name: value}} if table else {name: value}, source="f")
    except ConfigError as error:
        assert name in str(error)  # noqa: PT017  the value may also be accepted


def test_a_reload_knows_what_changed_and_when_it_takes_effect() -> None:
    old = parse({}, source="f")
    new = parse({"audio": {"volume": 10, "input": "silence:"}, "live": {"voice": "Kore"}}, source="f")
    assert {entry.key: entry.effect for entry in changes(old, new)} == {
        "live.voice": "connection",
        "audio.input": "restart",
        "audio.volume": "now",
    }
    assert changes(new, new) == []


@pytest.mark.parametrize(
    ("tree", "idle_s", "manual", "echo"),
    [
        ({}, 12, True, "auto"),
        ({"mode": "speaker"}, 30, False, "auto"),
        ({"mode": "speaker", "audio": {"echo": "hardware"}}, 30, False, "hardware"),
        ({"panel": {"button": "hook"}}, 12, False, "off"),
        ({"conversation": {"idle_timeout_s": 5}}, 5, True, "auto"),
    ],
)
def test_what_follows_from_the_mode(tree: dict[str, Any], idle_s: float, manual: bool, echo: str) -> None:
    config = parse(tree, source="f")
    assert (config.idle_timeout_s, config.manual_turns, config.echo) == (idle_s, manual, echo)


def test_a_reload_leaves_what_needs_a_restart_as_it_was() -> None:
    old = parse({"audio": {"input": "silence:"}}, source="f")
    new = parse({"mode": "speaker", "audio": {"volume": 10, "input": "wav:x"}, "live": {"voice": "Kore"}}, source="f")
    adopted = adopt(old, new)
    assert (adopted.mode, adopted.audio.input) == ("kiosk", "silence:")
    assert (adopted.audio.volume, adopted.live.voice) == (10, "Kore")
    assert {entry.effect for entry in changes(old, adopted)} == {"now", "connection"}
    assert {entry.effect for entry in changes(adopted, new)} == {"restart"}


@pytest.mark.parametrize("key", ["word", "stop"])
def test_a_wake_word_beside_a_button_that_is_held_is_refused(key: str) -> None:
    value = {"word": "alexa", "stop": "/etc/edge-agent/stop.json"}[key]
    with pytest.raises(ConfigError, match=rf'f: wake.{key} is of no use with mode = "kiosk".*mode = "speaker"'):
        parse({"wake": {key: value}}, source="f")
