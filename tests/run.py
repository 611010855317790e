"""Run the tests once for every instruction set of this machine, each in a process of its own.

Arguments are passed on to pytest: ``python tests/run.py -k threads``. Without any, the tests with other
libraries, which hand the same arrays to the same calls, run with the best set alone. Instruction sets that
this machine lacks are named and not run. The exit code is 0 only if every run passed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

KNOWN = ("portable", "avx2", "avx512", "neon")
# Training, clusters of processes, files: what takes long and does not depend on the instruction set.
ONCE = ("tests/adapters", "tests/graphs", "tests/test_evaluate_process.py", "tests/test_evaluate_report.py")
ASK = "import focalgrad, json; print(json.dumps(list(focalgrad.show_config(mode='dicts')['isas_available'])))"


def environment(isa: str | None) -> dict[str, str]:
    """This process' environment with an instruction set forced, or none."""
    env = {name: value for name, value in os.environ.items() if name != "FOCALGRAD_ISA"}
    return env if isa is None else {**env, "FOCALGRAD_ISA": isa}


def main(arguments: list[str]) -> int:
    """Run, report, and say whether all passed."""
    root = Path(__file__).resolve().parent.parent
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        env=environment(None),
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        print(f"focalgrad cannot be imported:\n{asked.stderr}", file=sys.stderr)
        return 1
    available = json.loads(asked.stdout)

    codes, report = [], []
    for isa in available:
        print(f"\n===== instruction set {isa} =====", flush=True)
        start = time.monotonic()
        left_out = [] if isa == available[0] else [f"--ignore={path}" for path in ONCE]
        command = [sys.executable, "-m", "pytest", *(arguments or ["tests", *left_out])]
        codes.append(subprocess.run(command, env=environment(isa), cwd=root, check=False).returncode)
        verdict = "passed" if codes[-1] == 0 else f"FAILED (pytest's exit code {codes[-1]})"
        report.append(f"{isa:<10} {verdict}, {time.monotonic() - start:.0f} s")
    report += [f"{isa:<10} NOT RUN: this machine does not have it" for isa in KNOWN if isa not in available]

    print("\n===== instruction sets =====")
    print("\n".join(report), flush=True)
    return 0 if available and not any(codes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
