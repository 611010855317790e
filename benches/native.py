"""The C programs of this folder: compiled when the bench starts, called through ctypes."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from measure import Local
from work import ALPHA, GRAD_HESS, MEAN, MEAN_GRAD, VALUE

HERE = Path(__file__).resolve().parent
FLOOR_FLAGS = ["-O3", "-march=native", "-fopenmp"]
FOCAL_FLAGS = ["-Ofast", "-march=native", "-fopenmp"]
C_TYPES = {"float32": "float", "float64": "double"}

#: Function and the arrays that it takes, for every operation.
_FOCAL = {
    VALUE: ("value", ("x", "y", "a")),
    MEAN: ("mean", ("x", "y")),
    MEAN_GRAD: ("mean_and_grad", ("x", "y", "a")),
    GRAD_HESS: ("grad_and_hess", ("x", "y", "a", "b")),
}
_FLOORS = {
    VALUE: ("add", "add_streaming"),
    MEAN: ("dot",),
    MEAN_GRAD: ("add", "add_streaming"),
    GRAD_HESS: ("pair", "pair_streaming"),
}


def _compiler() -> str:
    return os.environ.get("CC", "gcc")


def _compile(source: str, flags: list[str], real: str, folder: Path) -> Path:
    """Compile one source for one element type into a shared library."""
    common = ["-fPIC", f"-DREAL={real}", *shlex.split(os.environ.get("CFLAGS", ""))]
    name = f"{Path(source).stem}_{real}"
    target, library = folder / f"{name}.o", folder / f"{name}.so"
    compiler = _compiler()
    subprocess.run([compiler, *flags, *common, "-c", str(HERE / source), "-o", str(target)], check=True)
    # Linked without -Ofast: with it gcc adds start-up code that switches subnormals off in the whole process.
    subprocess.run([compiler, "-shared", "-fopenmp", str(target), "-lm", "-o", str(library)], check=True)
    return library


class Native:
    """Memory floors and the focal losses in C, for float32 and float64.

    `streaming` says whether the machine has non-temporal stores, `vector_maths` whether the C focal loss
    calls a vector maths library.
    """

    def __init__(self):
        # Waiting threads sleep: spinning ones would take a core from whoever's turn is next. Threads are not
        # bound to cores: that would bind the calling thread too, and so every thread that it starts later.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        self._floor, self._focal, self._softmax = {}, {}, {}
        with tempfile.TemporaryDirectory() as folder:
            for dtype, real in C_TYPES.items():
                floor = _compile("floor.c", FLOOR_FLAGS, real, Path(folder))
                focal = _compile("focal.c", FOCAL_FLAGS, real, Path(folder))
                softmax = _compile("softmax.c", FOCAL_FLAGS, real, Path(folder))
                self._softmax[dtype] = ctypes.CDLL(str(softmax))
                self.vector_maths = b"_ZGV" in focal.read_bytes()
                self._floor[dtype], self._focal[dtype] = ctypes.CDLL(str(floor)), ctypes.CDLL(str(focal))
        self.streaming = bool(self._floor["float32"].has_streaming_stores())

    def note(self) -> str:
        """Compiler, options and what they found, in a line."""
        version = subprocess.run(
            [_compiler(), "--version"], check=True, capture_output=True, text=True
        ).stdout
        library = "with" if self.vector_maths else "without"
        return f"{version.splitlines()[0]}, {' '.join(FOCAL_FLAGS)}, {library} vector maths library"

    def floors(self, operation: str, dtype: str, threads: int, data: SimpleNamespace) -> dict[str, Local]:
        """The kernels that move the bytes of an operation, by name."""
        library, arrays = self._floor[dtype], _FOCAL[operation][1]
        names = [name for name in _FLOORS[operation] if self.streaming or not name.endswith("streaming")]
        return {name: _call(getattr(library, name), (), arrays, threads, data) for name in names}

    def copy_and_read(self, threads: int, x: np.ndarray, out: np.ndarray, indices: np.ndarray) -> Local:
        """Copies logits and reads int64 class indices; all contiguous, the logits on 64-byte boundaries."""
        function = self._floor[x.dtype.name].copy_and_read
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (x, out, indices)]
        sizes = [ctypes.c_size_t(x.size), ctypes.c_int(threads), ctypes.c_size_t(indices.size)]
        names = {"f": function, "n": sizes[0], "t": sizes[1], "m": sizes[2]}
        names |= dict(zip(("x", "out", "indices"), pointers, strict=True))
        return Local("f(n, t, x, out, m, indices)", {**names, "keep": (x, out, indices)})

    def move(self, threads: int, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> Local:
        """Reads `x` and `y` and writes `out`, of any dtypes; contiguous and on 64-byte boundaries."""
        function = self._floor["float32"].move
        names = {"f": function, "t": ctypes.c_int(threads), "keep": (x, y, out)}
        for name, array in (("x", x), ("y", y), ("o", out)):
            names[f"n{name}"], names[name] = ctypes.c_size_t(array.nbytes), ctypes.c_void_p(array.ctypes.data)
        return Local("f(t, nx, x, ny, y, no, o)", names)

    def softmax(
        self,
        threads: int,
        x: np.ndarray,
        targets: np.ndarray,
        grad: np.ndarray | None,
        axis: int,
    ) -> dict[str, Local]:
        """Mean of the softmax focal loss at gamma 2, and gradient where there is an array for it.

        The class axis is the last or the first of two; targets are int64 class indices, or dense.
        """
        rows, classes = x.shape if axis else x.shape[::-1]
        programs = {"C by rows": "rows_of"} if axis else {"C by blocks": "columns_of"}
        if axis and classes <= 128:  # blocks of more are far behind, and too large for a stack
            programs["C by blocks"] = "blocks_of"
        dense = targets.ndim == x.ndim
        arrays = [x, None if dense else targets, targets if dense else None, grad]
        pointers = [ctypes.c_void_p(None if array is None else array.ctypes.data) for array in arrays]
        sizes = [ctypes.c_size_t(rows), ctypes.c_size_t(classes), ctypes.c_int(threads)]
        names = {f"v{i}": value for i, value in enumerate([*sizes, *pointers])}
        found = {}
        for title, name in programs.items():
            function = getattr(self._softmax[x.dtype.name], name)
            function.restype = ctypes.c_double
            kept = {"f": function, "keep": (x, targets, grad)}
            found[title] = Local(f"f({', '.join(names)})", kept | names)
        return found

    def focal(self, operation: str, gamma: float, threads: int, data: SimpleNamespace) -> Local:
        """The C focal loss on `data`."""
        name, arrays = _FOCAL[operation]
        function = getattr(self._focal[data.x.dtype.name], name)
        return _call(function, (ALPHA, gamma), arrays, threads, data)


def _call(
    function: Any, numbers: tuple[float, ...], arrays: tuple[str, ...], threads: int, data: SimpleNamespace
) -> Local:
    """A stopwatch for `function(size, threads, *numbers, *arrays)`, its arguments converted beforehand."""
    function.restype = ctypes.c_double if function.__name__ in {"dot", "mean", "mean_and_grad"} else None
    values = [
        ctypes.c_size_t(data.x.size),
        ctypes.c_int(threads),
        *(ctypes.c_double(number) for number in numbers),
        *(ctypes.c_void_p(getattr(data, array).ctypes.data) for array in arrays),
    ]
    names = {f"v{i}": value for i, value in enumerate(values)}
    return Local(f"f({', '.join(names)})", {"f": function, "keep": data, **names})


def outputs_of(operation: str, result: Any, data: SimpleNamespace) -> list[np.ndarray | float]:
    """What a call on `data` computed, in a common form: numbers and arrays in the order of the operation."""
    if operation == VALUE:
        return [data.a]
    if operation == MEAN:
        return [float(result)]
    if operation == GRAD_HESS:
        return [data.a, data.b]
    return [float(result[0] if isinstance(result, tuple) else result), data.a]


def load() -> Native | None:
    """The compiled programs, or None where there is no C compiler."""
    return Native() if shutil.which(_compiler()) else None
