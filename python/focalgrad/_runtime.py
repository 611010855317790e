"""The state of the process: threads for a while, and what runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, SupportsIndex, overload

from focalgrad import _core


@contextmanager
def num_threads(n: SupportsIndex) -> Iterator[None]:
    """Set the number of threads for the length of a ``with`` block.

    The number holds for the whole process, other Python threads included; afterwards it is what it was
    before.

    Parameters
    ----------
    n : int
        From 1 to 1024.

    Yields
    ------
    None

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is out of range.

    See Also
    --------
    set_num_threads : Set it for good.

    Examples
    --------
    >>> import focalgrad as fg
    >>> with fg.num_threads(1):
    ...     fg.get_num_threads()
    1
    """
    before = _core.get_num_threads()
    _core.set_num_threads(n)
    try:
        yield
    finally:
        _core.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let calls from this Python thread use no other one, whatever is set for the process.

    For tasks of a scheduler, which brings its own threads. `set_num_threads` and `num_threads` go on working
    for everybody else in the process.
    """
    before = _core.limit_this_thread(1)
    try:
        yield
    finally:
        _core.limit_this_thread(before)


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Show the version, the instruction set in use, and the number of threads.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default "stdout"
        Print, or return a dictionary.

    Returns
    -------
    dict or None
        With ``mode="dicts"``: ``version``, ``isa`` (the instruction set in use), ``isas_available`` (those
        that this processor has, the best first), ``threads`` (how many large calls use: fewer than
        `get_num_threads` where not all could be started) and ``cuda`` (whether there is a CUDA path).

    Raises
    ------
    ValueError
        If `mode` is unknown.

    Examples
    --------
    >>> import focalgrad as fg
    >>> sorted(fg.show_config(mode="dicts"))
    ['cuda', 'isa', 'isas_available', 'threads', 'version']
    """
    config: dict[str, Any] = {
        "version": _core.__version__,
        "isa": _core.ISA,
        "isas_available": list(_core.ISAS_AVAILABLE),
        "threads": _core.num_threads_in_use(),
        "cuda": False,
    }
    if mode == "dicts":
        return config
    if mode != "stdout":
        raise ValueError(f"mode must be 'stdout' or 'dicts'; got {mode!r}")
    shown = config | {"isas_available": ", ".join(config["isas_available"])}
    if config["threads"] < _core.get_num_threads():
        shown["threads"] = f"{config['threads']} of {_core.get_num_threads()}: no more could be started"
    width = max(map(len, shown))
    for name, value in shown.items():
        print(f"{name:{width}}  {value}")
    return None
