"""Is every mistake refused, naming the argument, what came and what is taken, with nothing written?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import focalgrad as fg
from support import METHODS, OUTPUTS, SENTINEL, SIZE, Array, operands, refused, sentinels


class TestConstructor:
    """Parameters are checked when the object is made, by the class and by the one-call function alike."""

    REFUSED = (
        ({"alpha": 1.5}, ValueError, ["alpha", r"1\.5", "0", "1"]),
        ({"alpha": np.nextafter(1, 2)}, ValueError, ["alpha", "0", "1"]),
        ({"alpha": float("nan")}, ValueError, ["alpha", "(?i)nan"]),
        ({"alpha": float("inf")}, ValueError, ["alpha", "inf"]),
        ({"alpha": "0.25"}, TypeError, ["alpha", "str"]),
        ({"alpha": 1j}, TypeError, ["alpha", "complex"]),
        ({"alpha": True}, TypeError, ["alpha", "bool"]),
        ({"alpha": np.True_}, TypeError, ["alpha", "bool"]),
        ({"alpha": object()}, TypeError, ["alpha", "object"]),
        ({"gamma": -0.5}, ValueError, ["gamma", r"-0\.5", "0"]),
        ({"gamma": -5e-324}, ValueError, ["gamma"]),
        ({"gamma": float("nan")}, ValueError, ["gamma", "(?i)nan"]),
        ({"gamma": float("inf")}, ValueError, ["gamma", "inf"]),
        ({"gamma": float("-inf")}, ValueError, ["gamma", "-inf"]),
        ({"gamma": 10**400}, ValueError, ["gamma"]),
        ({"alpha": 10**400}, ValueError, ["alpha"]),
        ({"normalizer": 10**400}, ValueError, ["normalizer"]),
        ({"gamma": None}, TypeError, ["gamma", "None"]),
        ({"gamma": "2"}, TypeError, ["gamma", "str"]),
        ({"gamma": False}, TypeError, ["gamma", "bool"]),
        ({"gamma": np.False_}, TypeError, ["gamma", "bool"]),
        ({"reduction": "average"}, ValueError, ["reduction", "average", "none", "sum", "mean"]),
        ({"reduction": "Mean"}, ValueError, ["reduction", "Mean", "none", "sum", "mean"]),
        ({"reduction": ""}, ValueError, ["reduction", "none", "sum", "mean"]),
        ({"reduction": None}, TypeError, ["reduction", "None", "none", "sum", "mean"]),
        ({"reduction": 1}, TypeError, ["reduction", "int", "none", "sum", "mean"]),
        ({"normalizer": "weight"}, ValueError, ["normalizer", "weight", "positives", "weights"]),
        ({"normalizer": 0}, ValueError, ["normalizer", "0", "positive"]),
        ({"normalizer": -1.5}, ValueError, ["normalizer", r"-1\.5", "positive"]),
        ({"normalizer": float("nan")}, ValueError, ["normalizer", "(?i)nan", "positive"]),
        ({"normalizer": True}, TypeError, ["normalizer", "bool"]),
        ({"normalizer": object()}, TypeError, ["normalizer", "object", "positives", "weights"]),
        (
            {"normalizer": "weights", "reduction": "sum"},
            ValueError,
            ["normalizer", "reduction", "sum", "mean"],
        ),
        ({"normalizer": 2.0, "reduction": "none"}, ValueError, ["normalizer", "reduction", "none", "mean"]),
        ({"class_axis": [1]}, TypeError, ["class_axis", "list", "whole"]),
        ({"class_axis": np.array([1, 2])}, TypeError, ["class_axis", "ndarray", "whole"]),
        ({"class_axis": np.array([1])}, TypeError, ["class_axis", "ndarray", "whole"]),
        ({"class_axis": np.array(1.0)}, TypeError, ["class_axis", "ndarray", "whole"]),
        ({"background_index": np.array([1])}, TypeError, ["background_index", "ndarray", "whole"]),
        ({"gama": 2.0}, TypeError, ["gama"]),
    )

    @pytest.mark.parametrize(("keywords", "error", "words"), REFUSED, ids=lambda part: str(part)[:60])
    def test_refused(self, keywords: dict[str, Any], error: type[Exception], words: list[str]) -> None:
        refused(error, words, fg.SigmoidFocalLoss, **keywords)
        options = {"reduction": "mean", **keywords}
        refused(error, words, fg.sigmoid_focal_loss, np.zeros(3), np.zeros(3), **options)

    def test_too_many_positions(self) -> None:
        refused(TypeError, [], fg.SigmoidFocalLoss, 0.25, 2.0, "mean")
        refused(TypeError, [], fg.sigmoid_focal_loss, np.zeros(3), np.zeros(3), 0.25, 2.0, "none", None)


# What is wrong with an operand, whatever layouts and dtypes are taken.
WRONG_OPERANDS = (
    ("logits", lambda a: a.astype(np.complex64), TypeError, ["logits", "complex64", "float32", "float64"]),
    ("logits", lambda a: a.astype("S4"), TypeError, ["logits", "float32", "float64"]),
    ("logits", lambda a: a.astype(object), TypeError, ["logits", "object", "float32", "float64"]),
    ("logits", lambda a: a.astype(">f4"), TypeError, ["logits", ">f4|byte|endian"]),
    (
        "logits",
        lambda a: a.astype(np.longdouble),
        TypeError,
        ["logits", "longdouble|float128", "float32", "float64"],
    ),
    ("logits", lambda a: np.zeros(SIZE, "M8[s]"), TypeError, ["logits", "datetime64", "float32", "float64"]),
    ("logits", lambda a: np.zeros(SIZE, "f4,f4"), TypeError, ["logits", "float32", "float64"]),
    ("logits", lambda a: None, TypeError, ["logits", "None", "array"]),
    ("logits", lambda a: "text", TypeError, ["logits", "str", "array"]),
    ("logits", lambda a: {"a": 1}, TypeError, ["logits", "dict", "array"]),
    (
        "targets",
        lambda a: a.astype(np.complex64),
        TypeError,
        ["targets", "complex64", "bool", "uint8", "float32"],
    ),
    ("targets", lambda a: a.astype(object), TypeError, ["targets", "object", "bool", "uint8", "float32"]),
    ("targets", lambda a: a.astype(">f8"), TypeError, ["targets", ">f8|byte|endian"]),
    ("targets", lambda a: None, TypeError, ["targets", "None", "array"]),
    ("targets", lambda a: "text", TypeError, ["targets", "str", "array"]),
    ("targets", lambda a: a[:-1].copy(), ValueError, ["targets", r"\(36,\)", r"\(37,\)"]),
    ("targets", lambda a: np.append(a, a[:1]), ValueError, ["targets", r"\(38,\)", r"\(37,\)"]),
    ("targets", lambda a: a[:1].copy(), ValueError, ["targets", r"\(1,\)", r"\(37,\)"]),
    ("targets", lambda a: a[:, None].copy(), ValueError, ["targets", r"\(37, 1\)", r"\(37,\)"]),
    ("targets", lambda a: np.array(a[0]), ValueError, ["targets", r"\(\)", r"\(37,\)"]),
    ("targets", lambda a: a[:0], ValueError, ["targets", r"\(0,\)", r"\(37,\)"]),
    (
        "sample_weight",
        lambda a: a.astype(np.complex64),
        TypeError,
        ["sample_weight", "complex64", "float32", "float64"],
    ),
    (
        "sample_weight",
        lambda a: a.astype(object),
        TypeError,
        ["sample_weight", "object", "float32", "float64"],
    ),
    ("sample_weight", lambda a: a.astype(">f8"), TypeError, ["sample_weight", ">f8|byte|endian"]),
    ("sample_weight", lambda a: "text", TypeError, ["sample_weight", "str"]),
    ("sample_weight", lambda a: 1j, TypeError, ["sample_weight", "complex"]),
    ("sample_weight", lambda a: a[:-1].copy(), ValueError, ["sample_weight", r"\(36,\)", r"\(37,\)"]),
    (
        "sample_weight",
        lambda a: np.ones((2, SIZE), a.dtype),
        ValueError,
        ["sample_weight", r"\(2, 37\)", r"\(37,\)"],
    ),
    (
        "sample_weight",
        lambda a: np.ones((1, SIZE), a.dtype),
        ValueError,
        ["sample_weight", r"\(1, 37\)", r"\(37,\)"],
    ),
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("operand", "spoil", "error", "words"),
    WRONG_OPERANDS,
    ids=[f"{row[0]}-{i}" for i, row in enumerate(WRONG_OPERANDS)],
)
def test_operands(operand: str, spoil: Any, error: type[Exception], words: list[str], method: str) -> None:
    """Wrong dtypes, shapes and things; outputs keep what they hold."""
    loss, given = fg.SigmoidFocalLoss(reduction="none"), operands()
    given[operand] = spoil(given[operand])
    refused(error, words, getattr(loss, method), **given)
    refused(error, words, getattr(loss, method), **given, **sentinels(method))


@pytest.mark.parametrize("operand", ["logits", "targets", "sample_weight"])
@pytest.mark.parametrize("method", METHODS)
def test_a_mask_is_never_dropped(method: str, operand: str) -> None:
    """Masked arrays with a mask are refused."""
    loss, given = fg.SigmoidFocalLoss(reduction="none"), operands()
    given[operand] = np.ma.masked_array(given[operand], np.arange(SIZE) == 3)
    refused(TypeError, [rf"{operand}.*mask"], getattr(loss, method), **given, **sentinels(method))


@pytest.mark.parametrize("method", METHODS)
def test_missing_and_unknown_arguments(method: str) -> None:
    """As Python would say it."""
    call = getattr(fg.SigmoidFocalLoss(), method)
    refused(TypeError, ["logits"], call)
    refused(TypeError, ["targets"], call, np.zeros(3))
    refused(TypeError, ["weight"], call, np.zeros(3), np.zeros(3), weight=1.0)
    refused(TypeError, [], call, np.zeros(3), np.zeros(3), np.zeros(3))
    refused(
        TypeError, ["out"], fg.SigmoidFocalLoss().grad_and_hess, np.zeros(3), np.zeros(3), out=np.zeros(3)
    )


def test_hessian() -> None:
    """One of three strings."""
    call = fg.SigmoidFocalLoss().grad_and_hess
    words = ["hessian", "exact", "gauss_newton", "upper"]
    refused(ValueError, ["newton", *words], call, np.zeros(3), np.zeros(3), hessian="newton")
    refused(TypeError, ["None", *words], call, np.zeros(3), np.zeros(3), hessian=None)


@pytest.mark.parametrize("method", ["__call__", "value_and_grad"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_float_has_no_out(method: str, reduction: str) -> None:
    """`out` for a result that is a float."""
    out = np.full(3, 777.0)
    call = getattr(fg.SigmoidFocalLoss(reduction=reduction), method)
    refused(ValueError, ["out", "reduction", reduction, "float"], call, np.zeros(3), np.zeros(3), out=out)
    zero_d = np.array(777.0)
    refused(ValueError, ["out", "reduction", reduction, "float"], call, np.zeros(3), np.zeros(3), out=zero_d)


def _read_only(output: Array) -> Array:
    output.flags.writeable = False
    return output


WRONG_OUTPUTS = (
    ("dtype", lambda o: o.astype(np.float64), TypeError, ["float64", "float32"]),
    ("int", lambda o: o.astype(np.int32), TypeError, ["int32", "float32"]),
    ("bytes", lambda o: o.astype(">f4"), TypeError, ["float32", ">f4|byte|endian"]),
    ("short", lambda o: o[:-1], ValueError, [r"\(36,\)", r"\(37,\)"]),
    ("long", lambda o: np.append(o, o), ValueError, [r"\(74,\)", r"\(37,\)"]),
    ("column", lambda o: o[:, None], ValueError, [r"\(37, 1\)", r"\(37,\)"]),
    ("row", lambda o: o[None], ValueError, [r"\(1, 37\)", r"\(37,\)"]),
    ("0-d", lambda o: o[0:1].reshape(()), ValueError, [r"\(\)", r"\(37,\)"]),
    ("read-only", _read_only, ValueError, ["read-?only|writ"]),
    (
        "broadcast",
        lambda o: np.broadcast_to(o[:1], o.shape),
        ValueError,
        ["read-?only|writ|overlap|contiguous"],
    ),
    ("list", lambda o: o.tolist(), TypeError, ["list", "array"]),
    ("scalar", lambda o: 1.0, TypeError, ["float", "array"]),
    ("tuple", lambda o: (o,), TypeError, ["tuple", "array"]),
)


@pytest.mark.parametrize(("method", "keyword"), OUTPUTS)
@pytest.mark.parametrize(
    ("name", "spoil", "error", "words"), WRONG_OUTPUTS, ids=[row[0] for row in WRONG_OUTPUTS]
)
def test_outputs(
    name: str, spoil: Any, error: type[Exception], words: list[str], method: str, keyword: str
) -> None:
    """Wrong dtypes, shapes and things; nothing is written to them nor to the other output."""
    loss, home = fg.SigmoidFocalLoss(reduction="none"), np.full(SIZE, SENTINEL, np.float32)
    outputs = {**sentinels(method), keyword: spoil(home)}
    refused(error, [rf"\b{keyword}\b", *words], getattr(loss, method), **operands(), **outputs)
    assert (home == SENTINEL).all()


def test_outputs_of_the_one_call_function() -> None:
    """It checks the same."""
    given = operands()
    out = np.full(SIZE, 777, np.float64)
    refused(
        TypeError,
        ["out", "float64", "float32"],
        fg.sigmoid_focal_loss,
        given["logits"],
        given["targets"],
        out=out,
    )
    refused(ValueError, ["targets", r"\(3,\)"], fg.sigmoid_focal_loss, given["logits"], np.zeros(3), out=None)


def test_an_objects_own_exception_comes_through() -> None:
    """What an argument raises while it is looked at is not replaced."""

    class Angry:
        def __float__(self) -> float:
            raise RuntimeError("not now")

    for keyword in ("alpha", "gamma"):
        refused(RuntimeError, ["not now"], fg.SigmoidFocalLoss, **{keyword: Angry()})


class Meddles(np.ndarray):
    """An output that changes the logits when it is looked at."""

    @property
    def _mask(self) -> Any:
        self.logits.resize(64 * len(self.logits), refcheck=False)
        self.logits[:] = 1
        self.logits.resize(len(self), refcheck=False)
        return np.ma.nomask


@pytest.mark.parametrize("method", ["__call__", "grad"])
def test_an_output_that_changes_an_input(method: str) -> None:
    """It is looked at before anything is read: the call is one of the inputs as it leaves them."""
    loss, targets = fg.SigmoidFocalLoss(reduction="none"), np.ones(5000, np.uint8)
    out = np.empty(5000, np.float32).view(Meddles)
    out.logits = np.zeros(5000, np.float32)
    got = getattr(loss, method)(out.logits, targets, out=out)
    assert got is out
    np.testing.assert_array_equal(np.asarray(got), getattr(loss, method)(np.ones(5000, np.float32), targets))


@pytest.mark.parametrize("wrong", ["foo", 7 + 1j, object(), -1.0])
def test_refusals_list_what_the_loss_takes(wrong: object) -> None:
    """Softmax has neither sums over classes nor positives, so no refusal advises them."""
    for argument, without in (("normalizer", "positives"), ("reduction", "sum_classes")):
        with pytest.raises((TypeError, ValueError), match=argument) as softmax:
            fg.SoftmaxFocalLoss(**{argument: wrong})
        assert without not in str(softmax.value)
        with pytest.raises((TypeError, ValueError), match=argument) as sigmoid:
            fg.SigmoidFocalLoss(**{argument: wrong})
        assert without in str(sigmoid.value)
