"""CPU, memory and import time of the wire alone, beside the official SDK and a plain client.

Each client is a process of its own that talks over TLS on loopback with the twin in another: 40 ms of speech up every
40 ms, 40 ms of answer down at real time, nothing else. A round runs every client once, one after the other, each round
beginning with another one; the figures are medians over the rounds, the ratios medians of the ratios within a round.

The peers stand in a checkout only (`tests/benchmarks/`); an installed package measures itself and says so.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from edge_agent.bench import table
from edge_agent.bench.children import NotMeasured, Service, client
from edge_agent.bench.speech import pcm, speech
from edge_agent.bench.table import Row

BUDGET, AIM = 0.6, 0.4  # of the official SDK's CPU
WARM_UP_S = 1.0
FULL_TALK = 0.97  # a client that sends or hears less of real time was not doing the work

OURS, SDK, PLAIN = "edge-agent", "google-genai", "websockets + json"
_PEERS = {SDK: ("peer_sdk.py", "google.genai"), PLAIN: ("peer_websockets.py", "websockets")}


def peers_folder() -> Path:
    """Return where the peers of a checkout stand, whether or not there are any."""
    return Path(__file__).parents[2] / "tests" / "benchmarks"


def measure(
    folder: Path, tls: tuple[Path, Path], *, rounds: int, seconds: float, peers: Path | None = None
) -> list[Row]:
    """Run the clients in turn and return the rows.

    Args:
        folder: for passing files.
        tls: certificate and key.
        rounds: how often each client talks.
        seconds: how long each time, after the warm-up.
        peers: where the peers stand; `peers_folder()` if None.
    """
    programs, absent = _programs(peers or peers_folder())
    sound = folder / "speech.pcm"
    sound.write_bytes(pcm(speech(10.0, seed=1, rate=16_000)))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in programs}
    for number in range(rounds):
        names = list(programs)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            with Service(folder, tls, kind="duplex", seconds=seconds + WARM_UP_S + 5.0) as service:
                figures = client(
                    programs[name],
                    service,
                    ca=tls[0],
                    sound=sound,
                    seconds=seconds,
                    warm_up_s=WARM_UP_S,
                    folder=folder,
                )
            check(name, figures)
            found[name].append(figures)
    return rows(found, absent)


def check(name: str, figures: dict[str, Any]) -> None:
    """Refuse the figures of a client that did not do the whole work.

    Raises:
        NotMeasured: it sent or heard less than real time.
    """
    up, down = figures["up_s_per_s"], figures["down_s_per_s"]
    if min(up, down) < FULL_TALK:
        raise NotMeasured(
            f"{name} sent {up:.2f} and heard {down:.2f} seconds of sound a second; the machine is too busy"
        )


def rows(found: dict[str, list[dict[str, Any]]], absent: dict[str, str]) -> list[Row]:
    """Turn the figures of each client's runs, and why a peer has none, into rows."""
    ours = found[OURS]
    out = []
    for name in (OURS, PLAIN, SDK):
        what = f"CPU per second of talk: {name}"
        if name in absent:
            out.append(table.missing(what, "-", why=absent[name]))
            continue
        cpu = table.spread(run["cpu_ms_per_s"] for run in found[name])
        out.append(table.told(what, cpu.text("ms/s"), values=cpu.values("cpu_ms_per_s")))
    for name, limit in ((SDK, BUDGET), (PLAIN, None)):
        what = f"ratio to {name}"
        budget = f"{BUDGET} (aim {AIM})" if limit else "-"
        if name in absent:
            out.append(table.missing(what, budget, why=absent[name]))
            continue
        theirs = found[name]
        ratio = table.ratios([run["cpu_ms_per_s"] for run in ours], [run["cpu_ms_per_s"] for run in theirs])
        figure, values = ratio.text("", 2), ratio.values("ratio")
        if limit is None:
            out.append(table.told(what, figure, values=values))
        else:
            note = "" if ratio.median > limit else "the aim is met" if ratio.median <= AIM else "the aim is not met"
            out.append(table.judged(what, ratio.median, limit, figure=figure, budget=budget, note=note, values=values))
    return out + [_weight(name, found[name]) for name in (OURS, PLAIN, SDK) if name in found]


def _weight(name: str, runs: list[dict[str, Any]]) -> Row:
    memory = table.spread(run["rss_mb"] for run in runs)
    imports = table.spread(run["imported"]["cpu_ms"] for run in runs)
    figure = f"{memory.text('MB')}, {imports.text('ms', 0)}"
    values = {"rss_mb": memory.median, "import_cpu_ms": imports.median}
    return table.told(f"memory, import CPU: {name}", figure, values=values)


def _programs(peers: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return how to start each client that is there, and why the others are not."""
    programs = {OURS: ["-m", "edge_agent.bench.wire_client"]}
    absent = {}
    for name, (file, library) in _PEERS.items():
        if not (peers / file).is_file():
            absent[name] = "the peers come with a checkout (tests/benchmarks), not with the installed package"
        elif not _installed(library):
            absent[name] = f"{name} is not installed; in a checkout: pip install -e '.[test]'"
        else:
            programs[name] = [str(peers / file)]
    return programs, absent


def _installed(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except ModuleNotFoundError:
        return False
