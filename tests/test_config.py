"""Does the package say truly what it runs on, and does FOCALGRAD_ISA choose it?"""

from __future__ import annotations

import os
import platform

import pytest

import focalgrad as fg
from support import output_from, refused, run_python

KNOWN = ("portable", "avx2", "avx512", "neon")
CONFIG = fg.show_config(mode="dicts")
AVAILABLE = tuple(CONFIG["isas_available"])
PRINT_ISA = "import focalgrad; print(focalgrad.show_config(mode='dicts')['isa'])"


def test_dicts() -> None:
    """The keys and what they hold."""
    assert set(CONFIG) >= {"version", "isa", "isas_available", "threads", "cuda"}
    assert CONFIG["version"] == fg.__version__
    assert CONFIG["isa"] in AVAILABLE
    assert "portable" in AVAILABLE and set(AVAILABLE) <= set(KNOWN) and len(set(AVAILABLE)) == len(AVAILABLE)
    assert fg.show_config(mode="dicts")["threads"] == fg.get_num_threads()
    assert not CONFIG["cuda"] or isinstance(CONFIG["cuda"], (str, dict, list))


def test_dicts_are_fresh() -> None:
    """Changing the answer changes nothing."""
    fg.show_config(mode="dicts")["isa"] = "abacus"
    assert fg.show_config(mode="dicts") == CONFIG


@pytest.mark.parametrize("keywords", [{}, {"mode": "stdout"}])
def test_stdout(keywords: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Printed through Python's own stdout, as notebooks need it."""
    assert fg.show_config(**keywords) is None
    printed = capsys.readouterr().out
    for word in (fg.__version__, CONFIG["isa"], *AVAILABLE, str(fg.get_num_threads())):
        assert word in printed
    assert "cuda" in printed.lower() and "thread" in printed.lower()


def test_other_modes() -> None:
    """Refused by name."""
    refused(ValueError, ["mode", "dict", "stdout", "dicts"], fg.show_config, mode="dict")


def test_the_forced_instruction_set_runs() -> None:
    """In this very process, where one was forced."""
    forced = os.environ.get("FOCALGRAD_ISA")
    assert not forced or CONFIG["isa"] == forced


@pytest.mark.parametrize("isa", AVAILABLE)
def test_each_available_one_can_be_forced(isa: str) -> None:
    """And then runs."""
    assert output_from(PRINT_ISA, FOCALGRAD_ISA=isa) == isa


def test_empty_counts_as_unset() -> None:
    """Then the best one runs, never the portable one where there is another."""
    free = output_from(PRINT_ISA, FOCALGRAD_ISA=None)
    assert output_from(PRINT_ISA, FOCALGRAD_ISA="") == free
    assert free != "portable" or AVAILABLE == ("portable",)


@pytest.mark.parametrize("isa", [*(name for name in KNOWN if name not in AVAILABLE), "sse9", "AVX 2", "none"])
def test_unavailable_and_unknown_ones(isa: str) -> None:
    """An ImportError with the list, no panic and no silent other choice."""
    done = run_python("import focalgrad", FOCALGRAD_ISA=isa)
    assert done.returncode == 1 and "panic" not in done.stderr.lower()
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    for word in ("FOCALGRAD_ISA", isa, *AVAILABLE):
        assert word in last


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="no /proc/cpuinfo here")
def test_what_the_processor_has_is_found() -> None:
    """Against the kernel's list of processor features."""
    with open("/proc/cpuinfo") as info:
        features = set(info.read().split())
    if platform.machine() in ("x86_64", "AMD64"):
        assert ("avx2" in AVAILABLE) == ({"avx2", "fma"} <= features)
        assert ("avx512" in AVAILABLE) == ({"avx512f", "avx512dq", "avx512vl", "avx512bw"} <= features)
        assert "neon" not in AVAILABLE
    else:
        assert not {"avx2", "avx512"} & set(AVAILABLE)


def test_importing_starts_no_threads() -> None:
    """Nothing is built before it is used: what is imported can be forked."""
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("no /proc/self/task here")
    code = """
import os
import numpy
before = len(os.listdir("/proc/self/task"))
import focalgrad as fg
loss = fg.SigmoidFocalLoss()
loss(numpy.zeros(8), numpy.zeros(8))
print(len(os.listdir("/proc/self/task")) - before)
"""
    assert output_from(code) == "0"
