"""Who holds a sound card, from a tree like /proc."""

from __future__ import annotations

from pathlib import Path

from edge_agent.audio.devices.holders import Holder, busy_sentence, holders


def process(proc: Path, pid: int, command: str, *targets: str) -> None:
    (proc / str(pid) / "fd").mkdir(parents=True)
    (proc / str(pid) / "comm").write_text(command + "\n")
    for number, target in enumerate(targets):
        (proc / str(pid) / "fd" / str(number)).symlink_to(target)


def machine(proc: Path) -> Path:
    process(proc, 12, "aplay", "/dev/null", "/dev/snd/pcmC0D0p", "/dev/snd/controlC0")
    process(proc, 7, "wireplumber", "/dev/snd/pcmC1D0p", "/dev/snd/pcmC1D0c")
    process(proc, 30, "bash", "/dev/pts/0")
    (proc / "31").mkdir()  # a process that ended while we looked
    (proc / "asound" / "card1").mkdir(parents=True)
    (proc / "asound" / "card1" / "id").write_text("sndrpigooglevoi\n")
    return proc


def test_holders_are_told_by_direction(tmp_path: Path) -> None:
    proc = machine(tmp_path)
    wireplumber = Holder(1, "sndrpigooglevoi", 7, "wireplumber")
    assert holders("output", proc=proc) == [wireplumber, Holder(0, "", 12, "aplay")]
    assert holders("input", proc=proc) == [wireplumber]


def test_a_named_card_is_blamed_alone(tmp_path: Path) -> None:
    proc = machine(tmp_path)
    told = "card sndrpigooglevoi is held by wireplumber (process 7)"
    for name in ("hw:1,0", "hw:CARD=sndrpigooglevoi", "plughw:1", "snd_x: y (hw:1,0)"):
        assert busy_sentence("output", name, proc=proc) == told
    assert busy_sentence("output", "hw:0,0", proc=proc) == "card 0 is held by aplay (process 12)"


def test_a_name_that_hides_its_card_gets_every_holder(tmp_path: Path) -> None:
    told = busy_sentence("output", "edge_speaker", proc=machine(tmp_path))
    assert told == "card sndrpigooglevoi is held by wireplumber (process 7) and card 0 is held by aplay (process 12)"


def test_nobody_is_an_empty_sentence(tmp_path: Path) -> None:
    assert busy_sentence("input", "hw:0", proc=tmp_path) == ""
