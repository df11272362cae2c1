"""Does it grow? Samples over a long run, their picture, and a verdict that a slow leak cannot pass.

    growth = Growth("soak-virtual", "a day of talk in virtual time")
    growth.sample(hours, rss_mb=..., queue_ms=...)
    growth.draw()                                   # build/soak-virtual.png, docs/pictures/ when the docs are made
    assert growth.of("rss_mb") < 1.0                # from the first quarter after the warm-up to the last

Growth is the difference of two medians, so that a single peak, or a garbage collection that has not yet come, decides
nothing; the slope (Theil and Sen: the median of the slopes of all pairs) tells what a day would add.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import os
import statistics
import sys
from array import array
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WARM_UP = 0.2  # of the run: caches fill, pools grow to their size


class Growth:
    """Curves of one run; `unit` names the time that samples carry."""

    def __init__(self, name: str, title: str, *, unit: str = "hours") -> None:
        self.name = name
        self.title = title
        self.unit = unit
        self.times = array("d")
        self.curves: dict[str, array[float]] = {}
        """Arrays: what a run notes of itself is no growth."""

    def sample(self, time: float, **figures: float) -> None:
        """Take one sample of every curve."""
        self.times.append(time)
        for name, value in figures.items():
            self.curves.setdefault(name, array("d")).append(value)

    def of(self, name: str) -> float:
        """How much a curve rose from the first quarter after the warm-up to the last."""
        warm = self._warm(name)
        quarter = max(1, len(warm) // 4)
        return statistics.median(v for _, v in warm[-quarter:]) - statistics.median(v for _, v in warm[:quarter])

    def slope(self, name: str) -> float:
        """How much a curve rises in one unit of time."""
        warm = self._warm(name)
        thinned = warm[:: max(1, len(warm) // 100)]
        slopes = [(w - v) / (u - t) for (t, v), (u, w) in itertools.combinations(thinned, 2) if u > t]
        return statistics.median(slopes)

    def tell(self, *sentences: str) -> None:
        """Write build/NAME.txt: a line for each curve, and the sentences."""
        lines = [
            f"{name}: median {statistics.median(curve):.1f}, most {max(curve):.1f}, "
            f"grew {self.of(name):+.2f}, {self.slope(name):+.3f} per {self.unit.rstrip('s')}"
            for name, curve in self.curves.items()
        ]
        (ROOT / "build").mkdir(exist_ok=True)
        (ROOT / "build" / f"{self.name}.txt").write_text("\n".join([self.title, *lines, *sentences, ""]))

    def draw(self, panels: list[tuple[str, list[str]]]) -> Path:
        """Draw the curves, each panel a label and the names of its curves; returns where the picture lies."""
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(len(panels), 1, sharex=True, figsize=(10, 2.2 * len(panels)), squeeze=False)
        for axis, (label, names) in zip(axes[:, 0], panels, strict=True):
            for name in names:
                axis.plot(self.times, self.curves[name], linewidth=1, label=name.replace("_", " "))
            axis.axvspan(self.times[0], self.times[0] + WARM_UP * (self.times[-1] - self.times[0]), color="0.93")
            axis.set_ylabel(label)
            axis.set_ylim(0, 1.1 * axis.get_ylim()[1])
            axis.grid(visible=True, alpha=0.3)
            axis.legend(loc="lower right", fontsize="small")
        axes[0, 0].set_title(f"{self.title} (grey: warm-up)")
        axes[-1, 0].set_xlabel(self.unit)
        figure.tight_layout()
        folder = ROOT / ("docs/pictures" if os.environ.get("EDGE_AGENT_WRITE_FAULTS") else "build")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.png"
        figure.savefig(path, dpi=90)
        plt.close(figure)
        return path

    def _warm(self, name: str) -> list[tuple[float, float]]:
        begin = self.times[0] + WARM_UP * (self.times[-1] - self.times[0])
        return [(t, v) for t, v in zip(self.times, self.curves[name], strict=True) if t >= begin]


def entries(folder: str) -> int:
    """Return how many entries a folder of /proc has."""
    return len(list(Path(folder).iterdir()))


def rss_mb(pid: int | str = "self") -> float:
    """Return the resident memory of a process, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


class _Heap(ctypes.Structure):
    """What glibc's mallinfo2 tells, bytes and counts."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "used", "free", "keep")
    )


def heap_mb() -> float:
    """Return the memory that C code holds of malloc, MB; 0.0 where the C library does not tell."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return 0.0
    ask.restype = _Heap
    heap = ask()
    return float(heap.used + heap.hblkhd) / 1e6


def memory() -> dict[str, float]:
    """Return what this process holds, after a collection: memory in MB, Python's blocks and objects in thousands.

    Pages that the C library holds in reserve are given back first: when it does so by itself is chance.
    """
    gc.collect()
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give_back is not None:
        give_back(0)
    return {
        "rss_mb": rss_mb(),
        "heap_mb": heap_mb(),
        "blocks_k": sys.getallocatedblocks() / 1000,
        "objects_k": len(gc.get_objects()) / 1000,
    }


def settle() -> None:
    """Let the interpreter's table of interned names grow to three times its names, as it does once in some hours.

    Names that come and go, those of temporary files among them, fill it with gaps. That step, of a megabyte or two, is
    no leak.
    """
    for number in range(1_000_000):
        sys.intern(f"a name that goes at once {number}")


def kinds() -> Counter[str]:
    """Count living objects by type, to name what grew."""
    return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())


def grown(before: Counter[str], after: Counter[str], most: int = 12) -> list[tuple[str, int]]:
    """Return the types that grew the most."""
    return (after - before).most_common(most)


class Recent(list[Any]):
    """In place of a twin's list of sessions: keeps the newest few, and counts them all."""

    def __init__(self, most: int = 4) -> None:
        super().__init__()
        self._most = most
        self._count = 0

    def append(self, one: Any) -> None:
        """Add one, forget the oldest."""
        self._count += 1
        super().append(one)
        del self[: -self._most]

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return self._count > 0
