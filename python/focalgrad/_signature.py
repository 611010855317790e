"""What `inspect.signature` shows of a loss."""

import inspect
from typing import Any


class CallSignature:
    """Descriptor: the parameters of the call on a loss, those of the constructor on its class.

    CPython keeps no signature for ``__call__`` of a compiled class. ``grad`` takes the same parameters,
    so it lends its own.
    """

    def __get__(self, loss: Any, owner: type) -> inspect.Signature:
        """Look up the signature of the call; none on the class, which has its own."""
        if loss is None:
            raise AttributeError("__signature__")
        return inspect.signature(loss.grad)
