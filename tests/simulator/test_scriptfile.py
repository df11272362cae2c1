"""Script files: what they can say, and the sentence for everything they say wrongly."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import ConfigError
from edge_agent.simulator import script, scriptfile, sound
from edge_agent.simulator.script import When
from edge_agent.simulator.virtual import CAPTIONS, MANUAL, Talk


def parse(text: str, folder: Path = Path()) -> script.Script:
    return scriptfile.parse(tomllib.loads(text), source="a.toml", folder=folder)


def steps(text: str, folder: Path = Path()) -> tuple[script.Step, ...]:
    return parse(f"[[turn]]\nsteps = [{text}]", folder).rules[0].steps


EVERY_STEP: list[tuple[str, Any]] = [
    ('{ hear = "a b", pieces = 2, finished = false }', script.Hear("a b", 2, finished=False)),
    ('{ say = "hi", pace = 1, chunk_ms = 40, parts = 2 }', script.Say("hi", pace=1.0, chunk_ms=40, parts=2)),
    ('{ say = "hi", captions_with_sound = true }', script.Say("hi", captions_with_sound=True)),
    (
        '{ tone = 440, seconds = 0.5, caption = "beep", interrupt_after_s = 0.2 }',
        script.Say("beep", sound.tone(0.5, hz=440), interrupt_after_s=0.2),
    ),
    ("{ noise = 7, seconds = 1, pace = 0 }", script.Say("", sound.noise(1.0, seed=7), pace=0.0)),
    ('{ text = "t" }', script.Text("t")),
    ('{ thought = "t" }', script.Text("t", thought=True)),
    ("{ wait = 2 }", script.Wait(2.0)),
    (
        '{ call = "look", args = { a = 1 }, id = "x", wait = false, cancel_after_s = 1 }',
        script.Call((script.FunctionCall("look", {"a": 1}, "x"),), wait=False, cancel_after_s=1.0),
    ),
    (
        '{ calls = [{ name = "a" }, { name = "b", id = "y" }], status_beside = true, reply = [{ text = "r" }] }',
        script.Call(
            (script.FunctionCall("a"), script.FunctionCall("b", {}, "y")),
            status_beside=True,
            reply=(script.Text("r"),),
        ),
    ),
    (
        '{ complete = true, reason = "NEED_MORE_INPUT", generation = false, status = "IDLE" }',
        script.Complete("NEED_MORE_INPUT", generation=False, status="IDLE"),
    ),
    ("{ complete = true, wait_for_playback = false }", script.Complete(wait_for_playback=False)),
    ("{ hang = true }", script.Hang()),
    ("{ go_away = 5, close = false }", script.GoAway(5.0, close=False)),
    ("{ resumption = false }", script.Resumption(resumable=False)),
    ('{ close = 1007, reason = "no" }', script.End(1007, "no")),
    ("{ drop = true }", script.Drop()),
    ('{ raw = "{oops" }', script.Raw("{oops")),
    ("{ json = { goAway = {} } }", script.Raw({"goAway": {}})),
    ("{ oversized = 100 }", script.Oversized(100)),
    ("{ truncated = true }", script.Truncated()),
    ("{ stall = 3 }", script.Stall(3.0)),
]


@pytest.mark.parametrize(("text", "step"), EVERY_STEP)
def test_every_step_can_be_written(text: str, step: script.Step) -> None:
    assert steps(text) == (step,)


def test_no_step_is_missing_from_the_format() -> None:
    written = {type(step) for _, step in EVERY_STEP}
    assert written == set(script.Step.__args__)


def test_settings_and_conditions() -> None:
    made = parse(
        """
        [twin]
        setup_delay_s = inf
        pong = 2
        end_before_setup = { close = 1008, reason = "no" }
        turn_complete = "sent"
        [[turn]]
        when = { nth = 2, session = 1, text = "a", history = "b", image = true, kind = "text" }
        times = 3
        steps = []
        """
    )
    assert made.setup_delay_s == float("inf")
    assert made.pong == 2.0
    assert made.end_before_setup == script.End(1008, "no")
    assert made.turn_complete == "sent"
    assert made.rules == (script.Rule((), When(2, 1, "a", "b", image=True, kind="text"), 3),)
    assert parse("").rules == script.DEFAULT_RULES
    assert parse('[twin]\npong = "never"').pong == "never"


def test_a_sound_file_is_looked_for_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "a.pcm").write_bytes(b"\1\0" * 10)
    path = tmp_path / "s.toml"
    path.write_text('[[turn]]\nsteps = [{ play = "a.pcm", caption = "ten samples" }]')
    assert scriptfile.load(path).rules[0].steps == (script.Say("ten samples", b"\1\0" * 10),)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[turns]]", "a.toml: turns: unknown key turns; did you mean turn?"),
        ("turn = 3", "a.toml: turn: write [[turn]], with two brackets"),
        ("[twin]\nlate_tails = 1", "a.toml: twin: unknown key late_tails; did you mean late_tail?"),
        ("[twin]\nrules = []", "a.toml: twin: unknown key rules; "),
        ("[twin]\nlate_tail = 1.5", "a.toml: twin, late_tail: is 1.5, allowed is a whole number"),
        ('[twin]\nopcode = "bin"', 'a.toml: twin, opcode: is "bin", allowed is "binary" or "text"'),
        ('[twin]\npong = "late"', 'a.toml: twin, pong: is "late", allowed is "normal" or "never" or a number'),
        ("[twin]\nusage = 1", "a.toml: twin, usage: is 1, allowed is true or false"),
        ("[twin]\nend_with = { wait = 1 }", "a.toml: twin.end_with: must be { close = CODE"),
        ("[[turn]]", "a.toml: turn 1: has no steps"),
        ("[[turn]]\nsteps = 1", "a.toml: turn 1: steps must be a list of tables"),
        ("[[turn]]\nsteps = [1]", "a.toml: turn 1, step 1: must be a table, not 1"),
        ("[[turn]]\nsteps = [{}]", "a.toml: turn 1, step 1: is empty"),
        ('[[turn]]\nsteps = [{ sya = "x" }]', "a.toml: turn 1, step 1: unknown key sya; did you mean say?"),
        ("[[turn]]\nsteps = [{ say = 1 }]", "a.toml: turn 1, step 1, say: is 1, allowed is a string"),
        (
            '[[turn]]\nsteps = [{ say = "a", speed = 1 }]',
            "a.toml: turn 1, step 1: unknown key speed; allowed are pace,",
        ),
        ('[[turn]]\nsteps = [{ say = "a", pace = -1 }]', "a.toml: turn 1, step 1: pace must be 0 or more"),
        ("[[turn]]\nsteps = [{ tone = 1 }]", "a.toml: turn 1, step 1: needs seconds"),
        (
            "[[turn]]\nsteps = [{ tone = 1, seconds = 0 }]",
            "a.toml: turn 1, step 1: seconds is 0, allowed is more than 0",
        ),
        ("[[turn]]\nsteps = [{ hang = false }]", "a.toml: turn 1, step 1: must be true, or be left out"),
        ('[[turn]]\nsteps = [{ play = "no.wav" }]', "a.toml: turn 1, step 1: no.wav cannot be read: No such file"),
        ("[[turn]]\nsteps = [{ calls = [{}] }]", "a.toml: turn 1, step 1: needs a name"),
        ("[[turn]]\nsteps = [{ calls = [{name='a'}, 5] }]", "a.toml: turn 1, step 1, call 2: must be a table, not 5"),
        ("[[turn]]\nsteps = []\nwhen = { nht = 1 }", "a.toml: turn 1, when: unknown key nht; did you mean nth?"),
        ("[[turn]]\nsteps = []\ntimes = true", "a.toml: turn 1, times: is true, allowed is a whole number"),
        ("[[turn]]\nsteps = [{ call = 'a', reply = [{}] }]", "a.toml: turn 1, step 1, reply, step 1: is empty"),
    ],
)
def test_a_wrong_script_names_file_place_and_what_is_allowed(text: str, sentence: str) -> None:
    with pytest.raises(scriptfile.ScriptError) as caught:
        parse(text)
    assert str(caught.value).startswith(sentence)
    assert isinstance(caught.value, ConfigError)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing, broken, binary = tmp_path / "no.toml", tmp_path / "broken.toml", tmp_path / "binary.toml"
    broken.write_text("[[turn")
    binary.write_bytes(b"\xff")
    for path, sentence in ((missing, "no such script; .* hello"), (broken, "not TOML"), (binary, "cannot be read")):
        with pytest.raises(scriptfile.ScriptError, match=f"{path.name}: {sentence}"):
            scriptfile.load(path)
    (tmp_path / "not.wav").write_text("no sound")
    with pytest.raises(scriptfile.ScriptError, match=r"step 1: .*not\.wav: not a WAV file"):
        steps('{ play = "not.wav" }', tmp_path)


def test_the_shipped_scripts_load_and_answer() -> None:
    assert set(scriptfile.examples()) == {"hello", "interruption", "rough-line"}
    for name in scriptfile.examples():
        talk = Talk(scriptfile.load(scriptfile.find(name))).open(**MANUAL, **CAPTIONS)
        talk.wait(3)
        talk.turn()
        talk.wait(60)
        assert {"setupComplete", "audio", "turnComplete"} <= set(talk.kinds()), name


def test_the_interruption_script_does_what_it_says() -> None:
    talk = Talk(scriptfile.load(scriptfile.find("interruption"))).open(**MANUAL)
    talk.turn()
    talk.wait(1.0)
    sent = len(talk.at("audio"))
    talk.turn()
    stopped = talk.at("interrupted")[0]
    assert len([t for t in talk.at("audio") if t <= stopped]) == sent + 3
    talk.wait(10)
    assert talk.sound(since=stopped) == sound.noise(2.0, seed=2)
    talk.turn()
    talk.wait(10)
    assert len(talk.at("interrupted")) == 2
