"""Who holds a sound card: the process behind "device or resource busy".

Only one process can have an ALSA hardware device open. `holders` finds them by the links under /proc/PID/fd; other
users' processes are seen only by root or with CAP_SYS_PTRACE, so an empty answer is not a proof.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Direction = Literal["input", "output"]

_PCM = re.compile(r"/dev/snd/pcmC(\d+)D(\d+)([cp])$")


@dataclass(frozen=True, slots=True)
class Holder:
    """One process with one sound device open."""

    card: int
    card_id: str
    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command} (process {self.pid})"


def holders(direction: Direction, *, proc: Path = Path("/proc")) -> list[Holder]:
    """Return who has capture ("input") or playback ("output") devices of ALSA cards open, by process number."""
    letter = "c" if direction == "input" else "p"
    found = set()
    for folder in proc.glob("[0-9]*"):
        try:
            targets = {str(link.readlink()) for link in (folder / "fd").iterdir()}
            command = (folder / "comm").read_text().strip()
        except OSError:
            continue  # ended meanwhile, or not ours to look into
        for target in targets:
            match = _PCM.search(target)
            if match and match[3] == letter:
                card = int(match[1])
                found.add(Holder(card, _card_id(proc, card), int(folder.name), command))
    return sorted(found, key=lambda holder: holder.pid)


def busy_sentence(direction: Direction, name: str, *, proc: Path = Path("/proc")) -> str:
    """Return "CARD is held by WHO" for the cards `name` may mean, or for all when it names none; "" when nobody is."""
    everyone = holders(direction, proc=proc)
    number = re.search(r"(?:hw:|CARD=)(\d+)", name)
    meant = [
        holder
        for holder in everyone
        if (number and int(number[1]) == holder.card) or (holder.card_id and holder.card_id in name)
    ]
    parts = [f"card {holder.card_id or holder.card} is held by {holder}" for holder in meant or everyone]
    return " and ".join(parts)


def _card_id(proc: Path, card: int) -> str:
    try:
        return (proc / "asound" / f"card{card}" / "id").read_text().strip()
    except OSError:
        return ""
