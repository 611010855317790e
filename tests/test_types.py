"""Do the type stubs say what comes back, and refuse what is refused?"""

from __future__ import annotations

from pathlib import Path

import pytest

PROGRAM = """
import numpy as np
import focalgrad as fg

loss = fg.SigmoidFocalLoss(normalizer="positives")
reveal_type(loss(np.zeros(2), [0, 1]))
reveal_type(loss.grad(b"ab", memoryview(b"ab")))
fg.SoftmaxFocalLoss(normalizer="positives")
fg.SoftmaxFocalLoss(normalizer="weights")
loss(object(), 1)
fg.SigmoidFocalLoss(np.float32(0.5), [np.int64(2), 1.5], class_axis=np.int8(0), normalizer=np.float32(3))
reveal_type(fg.show_config(mode="dicts")["isa"])
fg.show_config("dict")
"""


def test_results_and_arguments(tmp_path: Path) -> None:
    mypy = pytest.importorskip("mypy.api")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    out, err, _ = mypy.run(["--strict", "--cache-dir", str(tmp_path), str(program)])
    notes = [line.split(":", 2)[1:] for line in out.splitlines() if ": " in line]
    told = {int(line): rest.strip() for line, rest in notes if line.isdigit()}
    assert told.keys() == {6, 7, 8, 10, 12, 13}, out + err
    assert "float | numpy.ndarray" in told[6]
    assert told[7].startswith('note: Revealed type is "numpy.ndarray')
    assert "positives" in told[8]
    assert "object" in told[10]
    assert "show_config" in told[13]
