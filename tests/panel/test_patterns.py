"""Rhythms that a person can tell apart on one light, and sentences for an owner's wrong file."""

import itertools
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import ConfigError
from edge_agent.panel.light import load_patterns
from edge_agent.panel.patterns import FAULT_NAMES, NAMES, Pattern, parse

BUILT_IN = load_patterns()
DARK = (0.0, 0.0, 0.0)


def _one(toml: str, name: str = "idle") -> Pattern:
    return parse(tomllib.loads(toml), source="own.toml", base=BUILT_IN)[name]


def _rhythm(pattern: Pattern) -> tuple[float, ...]:
    """What a person counts on a single light: blinks, their lengths, the pause; in ms."""
    runs = pattern.signature()
    lit = [ms for on, ms in runs if on]
    dark = [ms for on, ms in runs if not on]
    return (len(runs), min(lit, default=0), max(lit, default=0), max(dark, default=0), sum(lit) + sum(dark))


def test_every_state_and_every_fault_has_a_pattern() -> None:
    assert set(BUILT_IN) == {*NAMES, *FAULT_NAMES}
    assert tuple(f"fault-{n}" for n in range(1, 14)) == FAULT_NAMES


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations([*NAMES, *FAULT_NAMES], 2)))
def test_two_states_differ_in_rhythm_so_that_one_light_is_enough(a: str, b: str) -> None:
    one, other = _rhythm(BUILT_IN[a]), _rhythm(BUILT_IN[b])
    steady = {BUILT_IN[a].signature(), BUILT_IN[b].signature()} == {((True, 0.0),), ((False, 0.0),)}
    # A fifth more or less of something is the least that is seen without a stopwatch.
    seen = any(abs(x - y) > 0.2 * max(x, y) for x, y in zip(one, other, strict=True))
    assert steady or seen or one[0] != other[0], f"{a} {one} looks like {b} {other}"


def test_muted_cannot_be_taken_for_listening() -> None:
    assert BUILT_IN["listening"].signature() == ((True, 0.0),)
    dark = sum(ms for on, ms in BUILT_IN["muted"].signature() if not on)
    lit = sum(ms for on, ms in BUILT_IN["muted"].signature() if on)
    assert lit < 0.03 * (lit + dark)
    listening, muted = BUILT_IN["listening"].colors[0], max(BUILT_IN["muted"].colors)
    assert listening.index(max(listening)) != muted.index(max(muted))


@pytest.mark.parametrize("blinks", range(1, 14))
def test_fault_n_blinks_n_times_then_pauses(blinks: int) -> None:
    runs = BUILT_IN[f"fault-{blinks}"].signature()
    assert sum(1 for on, _ in runs if on) == blinks
    assert runs[0] == (False, 2000.0)
    assert all(ms == 350 for _, ms in runs[1:])
    assert BUILT_IN[f"fault-{blinks}"].at(0.0) != DARK


def test_a_fade_rises_in_steps_and_arrives() -> None:
    pattern = _one("[idle]\nrepeat = false\nsteps = [{ level = 1.0, ms = 400, fade = true }]")
    levels = [pattern.at(ms / 1000)[0] for ms in range(0, 500, 40)]
    assert levels == sorted(levels)
    assert levels[0] < 0.2
    assert pattern.at(0.4) == pattern.at(99.0) == (1.0, 1.0, 1.0)
    assert pattern.next_change(0.4) is None


def test_a_repeating_pattern_begins_again() -> None:
    pattern = _one("[idle]\ncolor = [0, 1, 0]\nsteps = [{ level = 1, ms = 120 }, { color = [1, 0, 0], ms = 80 }]")
    assert [pattern.at(t) for t in (0, 0.119, 0.12, 0.199, 0.2, 20.0)] == [
        (0, 1, 0),
        (0, 1, 0),
        (1, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
        (0, 1, 0),
    ]
    assert [pattern.next_change(t) for t in (0, 0.12, 0.2)] == [0.12, 0.2, 0.32]


def test_a_steady_light_never_wakes_anyone() -> None:
    assert BUILT_IN["listening"].next_change(0.0) is None
    assert BUILT_IN["off"].next_change(5.0) is None


@given(st.sampled_from(sorted(BUILT_IN)), st.floats(0, 1e6), st.booleans())
def test_nothing_changes_before_the_next_change_and_something_then(name: str, t: float, plain: bool) -> None:
    pattern = BUILT_IN[name].on_off() if plain else BUILT_IN[name]
    change = pattern.next_change(t)
    if change is None:
        assert len(pattern.colors) == 1
        return
    assert change > round(t, 6)
    assert pattern.at(change) != pattern.at(t)
    assert pattern.at(t + (change - t) / 2 - 1e-6) == pattern.at(t)
    following = pattern.next_change(change)
    assert following is not None
    assert following > change


@given(st.sampled_from(sorted(BUILT_IN)))
def test_a_light_without_brightness_keeps_the_rhythm(name: str) -> None:
    plain = BUILT_IN[name].on_off()
    assert set(plain.colors) <= {DARK, (1.0, 1.0, 1.0)}
    assert plain.signature() == BUILT_IN[name].signature()


def test_an_owner_changes_one_pattern_and_keeps_the_rest(tmp_path: Any) -> None:
    own = tmp_path / "own.toml"
    own.write_text("[idle]\nsteps = [{ level = 0.2, ms = 1000 }]\n")
    patterns = load_patterns(own)
    assert patterns["idle"].at(0) == (0.2, 0.2, 0.2)
    assert patterns["muted"] == BUILT_IN["muted"]
    assert patterns["fault-3"] == BUILT_IN["fault-3"]


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ("[lisening]\nsteps = []", ["own.toml", "lisening", "did you mean listening"]),
        ("[idle]\nstep = []", ["own.toml", "[idle]", "unknown key step", "did you mean steps"]),
        ("[idle]\nsteps = []", ["[idle]", "steps", "at least one step"]),
        ("idle = 3", ["idle", "must be a table"]),
        ("[idle]\nsteps = [{ level = 2, ms = 100 }]", ["[idle] step 1 level = 2", "from 0 to 1"]),
        ("[idle]\nsteps = [{ level = true, ms = 100 }]", ["level = True", "from 0 to 1"]),
        ("[idle]\nsteps = [{ level = 1, ms = 100 }, { level = 1 }]", ["step 2", "ms is missing", "10 to 60000"]),
        ("[idle]\nsteps = [{ level = 1, ms = 1 }]", ["ms = 1", "10 to 60000"]),
        ("[idle]\nsteps = [{ ms = 100 }]", ["step 1", "either level", "or color"]),
        ("[idle]\nsteps = [{ level = 1, color = [1, 1, 1], ms = 100 }]", ["either level", "or color"]),
        ("[idle]\nsteps = [{ color = [1, 1], ms = 100 }]", ["color = [1, 1]", "[red, green, blue]"]),
        ("[idle]\nsteps = [{ level = 1, ms = 100, fade = 1 }]", ["fade = 1", "true and false"]),
        ("[idle]\nsteps = [3]", ["step 1", "must be a table"]),
        ("[idle]\nrepeat = 0\nsteps = [{ level = 1, ms = 100 }]", ["repeat = 0", "true and false"]),
        ("[fault]\non_ms = 100\noff_ms = 100", ["[fault]", "pause_ms is missing"]),
        ("[fault]\non_ms = 100\noff_ms = 100\npause_ms = 150", ["pause_ms = 150", "twice off_ms"]),
        ("[fault]\non_ms = 1\noff_ms = 1\npause_ms = 9\ncolor = [0, 0, 0]", ["on_ms = 1"]),
        ("[fault]\non_ms = 99\noff_ms = 99\npause_ms = 999\ncolor = [0, 0, 0.1]", ["[fault] color", "too dark"]),
    ],
)
def test_a_wrong_file_is_refused_with_pattern_key_and_what_is_allowed(toml: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(tomllib.loads(toml), source="own.toml", base=BUILT_IN)
    assert all(part in str(refused.value) for part in ["own.toml", *parts]), str(refused.value)


def test_a_file_that_must_be_whole_names_what_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"pattern \[off\] is missing"):
        parse({}, source="own.toml")


@pytest.mark.parametrize(
    ("content", "part"), [(None, "no such file"), (b"[idle", "not TOML"), (b"\xff\xfe", "cannot be read")]
)
def test_an_unreadable_file_is_a_sentence(tmp_path: Any, content: bytes | None, part: str) -> None:
    path = tmp_path / "own.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=part):
        load_patterns(path)
