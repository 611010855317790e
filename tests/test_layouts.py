"""Does an element's result depend on where its operands are? Never, to the bit; sums not beyond 1e-14."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import focalgrad as fg
from layouts import DTYPES, FLOATS, LAYOUTS, NUMBERS, labels, layouts, numbers, shapes
from support import refused, same_bits

Array = NDArray[Any]
SENTINEL = 77


def check(logits: Array, targets: Array, weight: Array | None, *, outputs: dict[str, Array]) -> None:
    """All results against those of contiguous copies."""
    each = fg.SigmoidFocalLoss(reduction="none")
    plain = [np.array(a, order="C") for a in (logits, targets)]
    full = None if weight is None else np.array(np.broadcast_to(weight, logits.shape), order="C")
    want = each(*plain, sample_weight=full)
    assert same_bits(each(logits, targets, sample_weight=weight), want)
    given = each(logits, targets, sample_weight=weight, out=outputs["out"])
    assert given is outputs["out"] and same_bits(given, want)
    grad, hess = each.grad_and_hess(*plain, sample_weight=full)
    got = each.grad_and_hess(
        logits, targets, sample_weight=weight, grad_out=outputs["grad_out"], hess_out=outputs["hess_out"]
    )
    assert got[0] is outputs["grad_out"] and same_bits(got[0], grad)
    assert got[1] is outputs["hess_out"] and same_bits(got[1], hess)
    for normalizer in (None, "weights", "positives"):
        mean = fg.SigmoidFocalLoss(normalizer=normalizer)
        a, b = mean(logits, targets, sample_weight=weight), mean(*plain, sample_weight=full)
        assert math.isclose(a, b, rel_tol=1e-14, abs_tol=0) or (math.isnan(a) and math.isnan(b))


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """Operands of all dtypes, each in a layout of its own."""
    shape = draw(shapes)
    lay = layouts(len(shape))
    dtypes, seed = st.sampled_from(DTYPES), draw(st.integers(0, 2**32 - 1))
    logits = numbers(shape, draw(st.sampled_from(NUMBERS)), seed)
    result = logits.dtype if logits.dtype in FLOATS else np.dtype(np.float64)
    weight = None
    if draw(st.booleans()):
        # Any shape that broadcasts: axes of length 1, axes left away.
        kept = tuple(n if draw(st.booleans()) else 1 for n in shape)[draw(st.integers(0, len(shape))) :]
        weight = draw(layouts(len(kept)))(
            abs(numbers(kept, draw(dtypes), seed + 2).astype(np.float32)).astype(draw(dtypes))
        )
    outputs = {name: draw(lay)(np.full(shape, SENTINEL, result)) for name in ("out", "grad_out", "hess_out")}
    return {
        "logits": draw(lay)(logits),
        "targets": draw(lay)(labels(shape, draw(dtypes), seed + 1)),
        "weight": weight,
        "outputs": outputs,
    }


@given(calls())
@settings(max_examples=150, deadline=None)
def test_any_layout(call: dict[str, Any]) -> None:
    check(**call)


@pytest.mark.parametrize("shape", [(70, 90), (3, 700), (700, 3), (17, 40, 5)], ids=str)
@pytest.mark.parametrize("other", LAYOUTS)
@pytest.mark.parametrize("one", LAYOUTS)
def test_pairs_of_layouts(one: str, other: str, shape: tuple[int, ...]) -> None:
    """Several tiles, and rectangles that do not fit evenly."""
    logits = LAYOUTS[one](numbers(shape, np.float32, 1))
    targets = LAYOUTS[other](labels(shape, np.uint8, 2))
    outputs = {name: LAYOUTS[other](np.zeros(shape, np.float32)) for name in ("out", "grad_out", "hess_out")}
    check(logits, targets, np.ones(shape[-1:]), outputs=outputs)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_beside_an_output_is_written(layout: str) -> None:
    """The gaps between the elements of a strided output stay as they are."""
    logits, targets = numbers((40, 30), np.float32, 1), labels((40, 30), np.bool_, 2)
    home = np.full((200, 200), SENTINEL, np.float32)
    view = home[7:167:4, 190:10:-6] if layout != "Fortran" else home.T[3:83:2, 50:80]
    fg.SigmoidFocalLoss().grad(LAYOUTS[layout](logits), targets, out=view)
    assert same_bits(view, fg.SigmoidFocalLoss().grad(logits, targets))
    view[...] = SENTINEL
    assert (home == SENTINEL).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_in_place(layout: str) -> None:
    """The very same memory, whatever its layout, may be an input and the output."""
    logits, targets = numbers((70, 90), np.float32, 1), labels((70, 90), np.float32, 2)
    loss = fg.SigmoidFocalLoss(reduction="none")
    want = loss.grad(logits, targets)
    for name in ("logits", "targets"):
        operands = {"logits": logits, "targets": targets}
        operands[name] = LAYOUTS[layout](operands[name].copy())
        assert loss.grad(**operands, out=operands[name]) is operands[name]
        assert same_bits(operands[name], want)


@pytest.mark.parametrize(
    "make",
    [
        np.ascontiguousarray,
        np.asfortranarray,
        lambda a: a.transpose(1, 2, 0),
        lambda a: a[::-1, :, ::2],
        lambda a: np.broadcast_to(a[:1], a.shape),
        lambda a: a.view(np.matrix) if a.ndim == 2 else a,
    ],
)
def test_memory_order_of_results(make: Any) -> None:
    """That of the logits, as `numpy.empty_like` has it."""
    logits = make(numbers((3, 4, 6), np.float32, 1))
    grad = fg.SigmoidFocalLoss().grad(logits, labels(logits.shape, np.uint8, 2))
    assert grad.strides == np.empty_like(logits, subok=False).strides
    assert type(grad) is np.ndarray


def test_without_dimensions_and_without_elements() -> None:
    loss = fg.SigmoidFocalLoss(reduction="none")
    assert loss(np.float32(1), np.uint8(1)).shape == ()
    assert type(loss(np.zeros(()), np.zeros(()))) is np.ndarray
    for shape in ((0,), (3, 0, 2), (0,) * 64):
        assert loss(np.zeros(shape, order="F"), np.zeros(shape)).shape == shape
        assert fg.SigmoidFocalLoss()(np.zeros(shape), np.zeros(shape)) == 0.0


def test_sums_do_not_depend_on_threads_or_alignment() -> None:
    x, y = numbers((700, 900), np.float32, 1), labels((700, 900), np.uint8, 2)
    for a, b in ((x, y), (x, np.asfortranarray(y)), (x[:, ::2], y[:, ::2]), (x[::-1], y)):
        found = set()
        for threads in (1, 2, 5):
            with fg.num_threads(threads):
                found |= {fg.SigmoidFocalLoss()(a, b)}
        moved = np.concatenate([[0], x.ravel(order="K")]).astype(np.float32)[1:].reshape(x.shape)
        if a is x:
            found |= {fg.SigmoidFocalLoss()(moved, b)}
        assert len(found) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_value_from_both_calls(layout: str) -> None:
    """With a gradient and without, the sum has one order."""
    for length in range(3, 300):
        x, y = numbers((length, 3), np.float64, length), labels((length, 3), np.uint8, length)
        for loss in (fg.SigmoidFocalLoss(), fg.SoftmaxFocalLoss()):
            given = LAYOUTS[layout](x), LAYOUTS[layout](y)
            alone = loss(*given)
            assert loss.value_and_grad(*given)[0] == alone
            for out in (np.empty_like(x, order="C"), np.empty_like(x, order="F"), np.empty_like(x)[:, ::-1]):
                assert loss.value_and_grad(*given, grad_out=out)[0] == alone


@pytest.mark.parametrize("normalizer", [None, "weights", "positives", "focal_weights"])
def test_a_gradient_does_not_depend_on_where_it_goes(normalizer: str | None) -> None:
    """Gradients go in an order that suits their output; what they divide by is summed in the inputs' own."""
    loss, random = fg.SigmoidFocalLoss(normalizer=normalizer), np.random.default_rng(7)
    for length in range(3, 300):
        shape = (length, 3)
        x, y, weight = random.standard_normal(shape), random.random(shape), random.lognormal(size=shape)
        want = loss.grad(x, y, sample_weight=weight)
        for out in (np.empty(shape, order="F"), np.empty(shape)[::-1, ::-1], np.empty(shape)[:, ::-1]):
            assert same_bits(loss.grad(x, y, sample_weight=weight, out=out), want)


def test_weights_never_enlarge_the_result() -> None:
    loss, x = fg.SigmoidFocalLoss(), np.zeros((6, 5))
    for shape in ((5, 6), (1, 6, 5), (2, 6, 5), (6,), (6, 5, 1)):
        with pytest.raises(ValueError, match=r"sample_weight.*\(6, 5\)") as caught:
            loss(x, x, sample_weight=np.ones(shape))
        assert str(shape) in str(caught.value)


@pytest.mark.parametrize("keyword", ["grad_out", "hess_out"])
def test_outputs_that_are_refused(keyword: str) -> None:
    loss, x = fg.SigmoidFocalLoss(), np.zeros((4, 6), np.float32)
    read_only = np.full((4, 6), SENTINEL, np.float32)
    read_only.flags.writeable = False
    broadcast = np.lib.stride_tricks.as_strided(np.full(6, SENTINEL, np.float32), (4, 6), (0, 4))
    rows = [
        (read_only, ValueError, "read-only"),
        (broadcast, ValueError, "share"),
        (np.full((6, 4), SENTINEL, np.float32), ValueError, r"\(4, 6\)"),
        (np.full((4, 6), SENTINEL, np.float64), TypeError, "float32.*float64"),
        (np.full((4, 6), SENTINEL, ">f4"), TypeError, ">f4"),
        (np.ma.array(np.full((4, 6), SENTINEL, np.float32), mask=True), TypeError, "mask"),
        ([[0.0] * 6] * 4, TypeError, "list"),
    ]
    for output, error, words in rows:
        refused(error, [rf"{keyword}.*{words}"], loss.grad_and_hess, x, x, **{keyword: output})
