"""The bare loop: read a block, write a block, nothing else. What a device costs before any work is done.

    python -m edge_agent.bench.bare --input wav:speech.wav?loop --output wav:heard.wav --block-ms 20

Prints one JSON line when both devices are open, then the CPU seconds used since for every line of standard input; ends
when standard input ends. Opened and paced as the daemon does it: the microphone paces, and its blocks are written as
they are.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time

import numpy as np

from edge_agent.audio.devices import CHANNELS, RATE_HZ, InputDevice, OutputDevice, open_input, open_output
from edge_agent.bench.meter import report

AHEAD_BLOCKS = 2  # sound kept in the loudspeaker's ring, as the daemon's pacer begins


def loop(source: InputDevice, sink: OutputDevice, *, block_frames: int, stop: threading.Event) -> None:
    """Copy blocks until told to stop."""
    block = np.zeros((block_frames, CHANNELS), np.int32)
    for _ in range(AHEAD_BLOCKS):
        sink.write(block[: min(block_frames, sink.writable())])
    while not stop.is_set():
        source.read(block)
        sink.write(block[: min(block_frames, sink.writable())])


def main() -> None:
    """Run the command line above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--block-ms", type=int, default=20)
    args = parser.parse_args()
    frames = args.block_ms * RATE_HZ // 1000
    epoch = time.monotonic()
    source = open_input(args.input, block_frames=frames, epoch=epoch)
    sink = open_output(args.output, block_frames=frames, epoch=epoch)
    stop = threading.Event()

    def asked() -> None:
        report(cpu_s=time.process_time())
        for _ in sys.stdin:
            report(cpu_s=time.process_time())
        stop.set()

    listener = threading.Thread(target=asked, name="asked")
    listener.start()
    try:
        loop(source, sink, block_frames=frames, stop=stop)
    finally:
        source.close()
        sink.close()
    listener.join()


if __name__ == "__main__":
    main()
