"""Is memory that an output shares with an operand or another output seen, however the arrays came about?

Exactly the operand's memory is fine. Anything less is refused before anything is written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import focalgrad as fg
from support import OUTPUTS, SIZE, Array, operands, output_of, refused, same_bits

OPERANDS = ("logits", "targets", "sample_weight")


class Overlap:
    """Ways to see one buffer through two arrays of SIZE elements, one `offset` bytes behind the other."""

    @staticmethod
    def slices(offset: int) -> tuple[Array, Array]:
        whole = np.zeros((SIZE + 2) * 4, np.uint8)
        return whole[: SIZE * 4].view(np.float32), whole[offset : offset + SIZE * 4].view(np.float32)

    @staticmethod
    def frombuffer(offset: int) -> tuple[Array, Array]:
        whole = bytearray((SIZE + 2) * 4)
        return np.frombuffer(whole, np.float32, SIZE), np.frombuffer(whole, np.float32, SIZE, offset)

    @staticmethod
    def memoryview(offset: int) -> tuple[Array, Array]:
        whole = np.zeros(SIZE + 2, np.float32)
        return whole[:SIZE], np.asarray(memoryview(whole)[offset // 4 : offset // 4 + SIZE])

    @staticmethod
    def dlpack(offset: int) -> tuple[Array, Array]:
        whole = np.zeros(SIZE + 2, np.float32)
        try:
            other = np.from_dlpack(whole, copy=False)  # read-only before NumPy 2.1
        except TypeError:
            pytest.skip("this NumPy has no from_dlpack(copy=)")
        if not other.flags.writeable:
            pytest.skip("this NumPy imports DLPack read-only")
        return whole[:SIZE], other[offset // 4 : offset // 4 + SIZE]

    @staticmethod
    def ctypes(offset: int) -> tuple[Array, Array]:
        whole = np.zeros(SIZE + 2, np.float32)
        raw = np.ctypeslib.as_array(
            (np.ctypeslib.ctypes.c_float * (SIZE + 2)).from_address(whole.ctypes.data)
        )
        return whole[:SIZE], raw[offset // 4 : offset // 4 + SIZE]


WAYS = ("slices", "frombuffer", "memoryview", "dlpack", "ctypes")


@pytest.mark.parametrize("operand", OPERANDS)
@pytest.mark.parametrize(("method", "keyword"), OUTPUTS)
@pytest.mark.parametrize("way", WAYS)
class TestOverlapWithOperands:
    """Decided by addresses, never by base objects. The very same memory is allowed, less is not."""

    def test_shifted(self, way: str, method: str, keyword: str, operand: str) -> None:
        loss, given = fg.SigmoidFocalLoss(reduction="none"), operands()
        for flip in (False, True):
            first, second = getattr(Overlap, way)(4)
            output, shared = (second, first) if flip else (first, second)
            shared[...] = 0.5
            given[operand] = shared
            words = [rf"\b{keyword}\b", operand, "overlap|memory"]
            refused(ValueError, words, getattr(loss, method), **given, **{keyword: output})

    def test_exact(self, way: str, method: str, keyword: str, operand: str) -> None:
        loss, given = fg.SigmoidFocalLoss(reduction="none"), operands()
        want = getattr(loss, method)(**given)
        output, shared = getattr(Overlap, way)(0)
        shared[...] = given[operand]
        given[operand] = shared
        got = getattr(loss, method)(**given, **{keyword: output})
        assert output_of(method, keyword, got) is output
        # What is written to an input early must not be read for a later result.
        for one, other in zip(got, want, strict=True) if type(got) is tuple else [(got, want)]:
            assert same_bits(one, other)


@pytest.mark.parametrize(("method", "keyword"), OUTPUTS)
def test_overlap_across_dtypes(method: str, keyword: str) -> None:
    """An output in the memory of targets of another dtype, wholly or in part."""
    loss, given = fg.SigmoidFocalLoss(reduction="none"), operands()
    home = np.zeros(SIZE, np.float32)
    for start in (0, 1, 3 * SIZE):
        given["targets"] = home.view(np.uint8)[start : start + SIZE]
        refused(
            ValueError,
            [keyword, "targets", "overlap|memory"],
            getattr(loss, method),
            **given,
            **{keyword: home},
        )


@pytest.mark.parametrize(("method", "keyword"), OUTPUTS)
def test_neighbours_do_not_overlap(method: str, keyword: str) -> None:
    """End to end in one buffer is fine, and so are empty arrays anywhere."""
    loss, given = fg.SigmoidFocalLoss(reduction="none"), operands()
    want = output_of(method, keyword, getattr(loss, method)(**given))
    home = np.zeros(3 * SIZE, np.float32)
    for place in (0, 2):
        output, given["logits"] = home[place * SIZE : (place + 1) * SIZE], home[SIZE : 2 * SIZE]
        given["logits"][...] = operands()["logits"]
        getattr(loss, method)(**given, **{keyword: output})
        assert same_bits(output, want)
    nothing = home[5:5]
    assert (
        output_of(method, keyword, getattr(loss, method)(nothing, nothing, **{keyword: nothing})) is nothing
    )


@pytest.mark.parametrize(
    ("method", "first", "second"),
    [("value_and_grad", "out", "grad_out"), ("grad_and_hess", "grad_out", "hess_out")],
)
@pytest.mark.parametrize("way", WAYS)
def test_overlap_of_two_outputs(way: str, method: str, first: str, second: str) -> None:
    """Two outputs never share memory, the same memory exactly included."""
    loss = fg.SigmoidFocalLoss(reduction="none")
    for offset in (0, 4):
        for flip in (False, True):
            a, b = getattr(Overlap, way)(offset)
            a[...] = b[...] = 777
            outputs = {first: b, second: a} if flip else {first: a, second: b}
            refused(
                ValueError,
                [rf"\b{first}\b", second, "overlap|memory"],
                getattr(loss, method),
                **operands(),
                **outputs,
            )


@pytest.mark.parametrize(("method", "keyword"), OUTPUTS)
def test_overlap_with_a_single_weight(method: str, keyword: str) -> None:
    """A 0-d weight inside the output is an operand like any other."""
    loss, given, home = fg.SigmoidFocalLoss(reduction="none"), operands(), np.full(SIZE, 777, np.float32)
    given["sample_weight"] = home[3:4].reshape(())
    words = [keyword, "sample_weight", "overlap|memory"]
    refused(ValueError, words, getattr(loss, method), **given, **{keyword: home})


PLACES = np.arange(64, dtype=np.float32)


def view(data: st.DataObject, home: Array, shape: tuple[int, ...]) -> Array:
    """Any view of that shape into a buffer."""
    strides = [4 * data.draw(st.integers(-6, 6)) for _ in shape]
    spans = [(n - 1) * stride // 4 for n, stride in zip(shape, strides, strict=True)]
    low, high = (sum(end(0, span) for span in spans) for end in (min, max))
    start = data.draw(st.integers(-low, home.size - 1 - high))
    return np.lib.stride_tricks.as_strided(home[start:], shape, strides)


def very_same(a: Array, b: Array) -> bool:
    """The same address, shape and strides, as far as these matter."""
    strides = zip(a.shape, a.strides, b.strides, strict=False)
    return (
        a.ctypes.data == b.ctypes.data and a.shape == b.shape and all(n < 2 or s == t for n, s, t in strides)
    )


@given(
    st.data(),
    st.sampled_from([fg.SigmoidFocalLoss(reduction="none"), fg.SoftmaxFocalLoss(reduction="none")]),
    st.sampled_from(OUTPUTS),
    st.sampled_from(OPERANDS),
)
@settings(max_examples=1000)
def test_random_views_into_one_buffer(
    data: st.DataObject, loss: Any, output: tuple[str, str], operand: str
) -> None:
    """Refused if and only if NumPy's exact `shares_memory` says so, the very same array excepted."""
    method, keyword = output
    shape = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    softmax = isinstance(loss, fg.SoftmaxFocalLoss)
    rows = shape[:-1] if softmax else shape
    arrays = {"logits": np.ones(shape, np.float32), "targets": np.zeros(rows), "sample_weight": np.ones(rows)}
    home = PLACES.copy()
    shared = arrays[operand] = view(data, home, arrays[operand].shape)
    out = view(data, home, rows if keyword == "out" and method != "grad" else shape)
    meets = len(np.unique(out)) < out.size
    home[...] = {"logits": PLACES / 8, "targets": 0, "sample_weight": PLACES}[operand]
    call = getattr(loss, method)
    if meets or (np.shares_memory(shared, out) and not very_same(shared, out)):
        refused(ValueError, [rf"\b{keyword}\b"], call, **arrays, **{keyword: out})
    else:
        want = output_of(method, keyword, call(**{**arrays, operand: shared.copy()}))
        assert output_of(method, keyword, call(**arrays, **{keyword: out})) is out
        assert same_bits(out, want)


@pytest.mark.parametrize("where", [0, 511, 512, 30_000, 49_999])
@pytest.mark.parametrize("label", [0.5, np.nan])
def test_in_place_with_one_label_between_0_and_1(where: int, label: float) -> None:
    rng = np.random.default_rng(where)
    x = rng.normal(0, 4, 50_000).astype(np.float32)
    y = (rng.random(50_000) < 0.1).astype(np.float32)
    y[where] = label
    loss = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0, reduction="none")
    value, grad = loss.value_and_grad(x, y)
    logits, target = x.copy(), y.copy()
    assert same_bits(loss(logits, y, out=logits), value)
    assert same_bits(loss.grad(x, target, out=target), grad)
    logits, target = x.copy(), y.copy()
    loss.value_and_grad(logits, target, out=logits, grad_out=target)
    assert same_bits(logits, value)
    assert same_bits(target, grad)


@pytest.mark.parametrize("operand", ["logits", "targets", "sample_weight"])
@pytest.mark.parametrize(("method", "keyword"), OUTPUTS)
def test_an_input_is_read_before_any_result_is_written(method: str, keyword: str, operand: str) -> None:
    """Whole groups of lanes: those of the tail are copied, and see nothing of it."""
    loss, rng = fg.SigmoidFocalLoss(reduction="none"), np.random.default_rng(11)
    given = {
        "logits": rng.normal(size=1_000).astype(np.float32),
        "targets": (np.arange(1_000) % 3 == 0).astype(np.float32),
        "sample_weight": rng.uniform(0.5, 2, 1_000).astype(np.float32),
    }
    want = getattr(loss, method)(**given)
    got = getattr(loss, method)(**given, **{keyword: given[operand]})
    for one, other in zip(got, want, strict=True) if type(got) is tuple else [(got, want)]:
        assert same_bits(one, other)
