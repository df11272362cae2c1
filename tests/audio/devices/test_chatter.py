"""ALSA's complaints are kept for sentences instead of being printed, and only while asked for."""

from __future__ import annotations

import ctypes

import pytest

from edge_agent.audio.devices.chatter import caught


@pytest.fixture
def alsa() -> ctypes.CDLL:
    return ctypes.CDLL("libasound.so.2")


def provoke(alsa: ctypes.CDLL, name: bytes) -> None:
    assert alsa.snd_pcm_open(ctypes.byref(ctypes.c_void_p()), name, 0, 0) < 0


def test_messages_are_kept_with_their_arguments_filled_in(alsa: ctypes.CDLL, capfd: pytest.CaptureFixture[str]) -> None:
    with caught() as said:
        provoke(alsa, b"nonesuch_one")
        provoke(alsa, b"nonesuch_two")
    assert "Unknown PCM nonesuch_two" in said.last()
    assert "Unknown PCM nonesuch_one" in said.last(about="_one")
    assert said.last(about="neither") == said.last()
    assert capfd.readouterr().err == ""


def test_afterwards_alsa_prints_again(alsa: ctypes.CDLL, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="on the way"), caught():
        raise RuntimeError("on the way")
    provoke(alsa, b"nonesuch_three")
    assert "nonesuch_three" in capfd.readouterr().err


def test_the_memory_of_a_chatty_library_is_bounded(alsa: ctypes.CDLL) -> None:
    with caught() as said:
        for number in range(300):
            provoke(alsa, f"nonesuch_{number}".encode())
    assert len(said.messages) == 200
    assert "nonesuch_299" in said.last()


def test_silence_leaves_nothing_to_say() -> None:
    with caught() as said:
        pass
    assert said.last() == ""
