"""What the bench ran on, as far as it explains a figure."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import focalgrad as fg
from measure import QUIET

#: Seconds by which the system's count of busy time may be off: a tick or two.
RESOLUTION = 0.02
#: Seconds of looking whether others are busy.
GLANCE = 0.3


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    numbers = [f"{key} {fields[key]}" for key in ("cpu family", "model", "stepping") if key in fields]
    name = fields.get("model name", platform.machine())
    return f"{name} ({', '.join(numbers)})" if numbers else name


def _caches() -> dict[str, str]:
    """Size of every cache of the first core, as the system tells it."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        letter = {"Data": "d", "Instruction": "i"}.get(kind, "")
        found[f"L{level}{letter}"] = size
    return found


def last_level_cache() -> int:
    """Bytes of the largest cache, 0 if unknown."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    sizes = [size for size in _caches().values() if size[-1] in units]
    return max((int(size[:-1]) * units[size[-1]] for size in sizes), default=0)


def _huge_pages() -> str:
    path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    text = path.read_text() if path.exists() else ""
    return text[text.find("[") + 1 : text.find("]")] if "[" in text else "unknown"


class Others:
    """How many cores other processes keep busy, as far as the system counts it (in ticks of 10 ms).

    Parameters
    ----------
    own : callable
        The ids of the processes that belong to the bench.
    wait : float
        Seconds, in the whole run, to wait for the others to become quiet; a twentieth of them at a time.
    """

    def __init__(self, own: Callable[[], list[int]], wait: float = 0):
        self._own, self._wait, self._longest = own, wait, wait / 20
        self._last = (0.0, 0.0)
        self.since_last()

    def since_last(self) -> float:
        """Cores kept busy by others since the last call; 0.0 where the system does not tell."""
        try:
            # user, nice, system, then idle and waiting left out, then interrupts and what the host took
            numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
            ticks = sum(numbers[:3]) + sum(numbers[5:])
            for process in self._own():
                words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                ticks -= int(words[11]) + int(words[12])
        except (OSError, ValueError, IndexError):
            return 0.0
        now = (time.perf_counter(), ticks / os.sysconf("SC_CLK_TCK"))
        elapsed, busy = now[0] - self._last[0], now[1] - self._last[1]
        self._last = now
        return max(0.0, busy - RESOLUTION) / elapsed

    def settle(self) -> None:
        """Wait until others look quiet for a moment, within what is left to wait."""
        self.since_last()
        left = min(self._wait, self._longest)
        while left > 0:
            time.sleep(GLANCE)
            left -= GLANCE
            self._wait -= GLANCE
            if self.since_last() <= QUIET:
                break


def describe(native: str) -> dict[str, str]:
    """The machine and the programs, as one line each.

    Parameters
    ----------
    native : str
        What the C programs were compiled with.
    """
    config = fg.show_config(mode="dicts")
    caches = ", ".join(f"{name} {size}" for name, size in _caches().items()) or "unknown"
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    return {
        "CPU": _cpu_model(),
        "cores": str(cores()),
        "caches": caches,
        "huge pages": _huge_pages(),
        "load before": load,
        "system": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}",
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "focalgrad": fg.__version__,
        "instruction set": f"{config['isa']} (available: {', '.join(config['isas_available'])})",
        "C": native,
    }
