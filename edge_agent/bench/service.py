"""The service's side of a measurement, in a process of its own: the Live API twin over TLS.

    python -m edge_agent.bench.service --cert chain.pem --key key.pem --kind duplex --seconds 12

`duplex` answers a text turn with 40 ms of sound every 40 ms and hears no speech in what comes up meanwhile; `turns`
answers every spoken turn with four seconds in bursts, as the service does. Prints one JSON line with the URL once
connections are taken, writes what it heard to the file named on each line of standard input, one JSON line when it is
written, and ends when standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any

from edge_agent.bench.meter import ANSWER_RATE, MESSAGE_S, report
from edge_agent.bench.speech import pcm, speech
from edge_agent.simulator import Limits, Rule, Say, Script, Twin

KEY = "bench-key"
THINK_S = 0.1  # from the end of speech to the answer's first sound
ANSWER_S = 4.0
PACE = 8.0  # the service sends far faster than real time
DEAF_DBFS = 0.0  # no sound is louder, so nothing counts as speech


def script(kind: str, seconds: float, setup_delay_s: float) -> Script:
    """Return what the twin does: `duplex` or `turns`."""
    if kind == "duplex":
        sound = pcm(speech(seconds, seed=2, rate=ANSWER_RATE))
        steps = (Say(sound=sound, pace=1.0, chunk_ms=round(MESSAGE_S * 1000)),)
        return Script(rules=(Rule(steps),), think_s=0.0, vad_threshold_dbfs=DEAF_DBFS)
    steps = (Say(sound=pcm(speech(ANSWER_S, seed=3, rate=ANSWER_RATE)), pace=PACE),)
    return Script(rules=(Rule(steps),), think_s=THINK_S, setup_delay_s=setup_delay_s)


def heard(twin: Twin) -> dict[str, Any]:
    """Return what the twin received so far, over all sessions: spoken turns as s16le in hex, and its complaints."""
    return {
        "turns": [turn.hex() for session in twin.sessions for turn in session.audio_turns],
        "sessions": len(twin.sessions),
        "violations": [sentence for session in twin.sessions for sentence in session.violations],
        "stray_audio": sum(session.stray_audio for session in twin.sessions),
    }


async def serve(args: argparse.Namespace) -> None:
    """Serve until standard input ends."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    await asyncio.to_thread(context.load_cert_chain, args.cert, args.key)
    plan = script(args.kind, args.seconds, args.setup_delay)
    async with Twin(plan, key=KEY, tls=context, limits=Limits(marks=1000)) as twin:
        report(url=twin.url)
        while line := await asyncio.to_thread(sys.stdin.readline):
            found = json.dumps(heard(twin))
            await asyncio.to_thread(Path(line.strip()).write_text, found)
            report(written=line.strip())


def main() -> None:
    """Run the command line above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--kind", choices=["duplex", "turns"], required=True)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--setup-delay", type=float, default=0.0)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
