"""Hypothesis profiles and the header that says what is being tested."""

from __future__ import annotations

import os

import hypothesis
import pytest

import focalgrad as fg

_COMMON = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("dev", max_examples=60, **_COMMON)
hypothesis.settings.register_profile("ci", max_examples=100, derandomize=True, print_blob=True, **_COMMON)
# Chosen by name where everything takes many times as long.
hypothesis.settings.register_profile("emulated", max_examples=3, derandomize=True, print_blob=True, **_COMMON)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_report_header(config: pytest.Config) -> str:
    """The instruction set that runs, and those that could."""
    found = fg.show_config(mode="dicts")
    available = ", ".join(found["isas_available"])
    isa, threads = found["isa"], found["threads"]
    return f"focalgrad {found['version']}: instruction set {isa} of {available}; {threads} threads"


@pytest.fixture(autouse=True)
def _threads_restored():
    """A test that changes the number of threads changes it for itself only."""
    before = fg.get_num_threads()
    yield
    fg.set_num_threads(before)
