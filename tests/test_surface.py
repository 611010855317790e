"""Is the public surface what the documentation says: names, signatures, objects, docstrings, stubs?"""

from __future__ import annotations

import ast
import copy
import doctest
import inspect
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import focalgrad as fg
from focalgrad import _adapters
from focalgrad import _reference as reference
from strategies import alphas, gammas
from support import METHODS, coin, public_callables, sample

NAMES = {
    "SigmoidFocalLoss",
    "class_weights",
    "get_num_threads",
    "num_threads",
    "set_num_threads",
    "show_config",
    "sigmoid_focal_loss",
}
CALLS = {
    "__call__": ["logits", "targets", "sample_weight", "out"],
    "grad": ["logits", "targets", "sample_weight", "out"],
    "value_and_grad": ["logits", "targets", "sample_weight", "out", "grad_out"],
    "grad_and_hess": ["logits", "targets", "sample_weight", "hessian", "grad_out", "hess_out"],
}
losses = st.builds(
    fg.SigmoidFocalLoss, alphas, gammas, reduction=st.sampled_from(["none", "sum", "mean"])
) | st.builds(
    fg.SigmoidFocalLoss,
    alphas,
    gammas,
    normalizer=st.none() | st.sampled_from(["positives", "weights"]) | st.floats(1e-300, 1e300),
)


class TestModule:
    """What the package offers."""

    def test_names(self) -> None:
        assert set(fg.__all__) >= NAMES
        assert len(set(fg.__all__)) == len(fg.__all__)
        # Adapters have no leading underscore either; nothing else that the package imports is shown.
        shown = {name for name in dir(fg) if not (name.startswith("__") and name.endswith("__"))}
        assert shown - set(_adapters.LIBRARIES) == set(fg.__all__) - {"__version__"}
        for name in fg.__all__:
            assert hasattr(fg, name)
            assert name in dir(fg)

    def test_version(self) -> None:
        from importlib.metadata import version

        assert fg.__version__ == version("focalgrad") == fg.show_config(mode="dicts")["version"]

    def test_classes_say_that_they_are_focalgrads(self) -> None:
        for name, thing in public_callables():
            if isinstance(thing, type):
                assert thing.__module__ == "focalgrad", name
            assert thing.__qualname__ == name


class TestSignatures:
    """inspect.signature shows what may be passed."""

    def test_constructor(self) -> None:
        parameters = inspect.signature(fg.SigmoidFocalLoss).parameters
        assert list(parameters)[:4] == ["alpha", "gamma", "reduction", "normalizer"]
        defaults = [parameter.default for parameter in parameters.values()][:4]
        assert defaults == [0.25, 2.0, "mean", None]
        kinds = [parameter.kind for parameter in parameters.values()]
        assert kinds[:2] == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * 2
        assert set(kinds[2:]) == {inspect.Parameter.KEYWORD_ONLY}

    @pytest.mark.parametrize("method", METHODS)
    def test_calls(self, method: str) -> None:
        loss = fg.SigmoidFocalLoss()
        signature = inspect.signature(loss if method == "__call__" else getattr(loss, method))
        assert list(signature.parameters) == CALLS[method]
        for name, parameter in signature.parameters.items():
            if name in ("logits", "targets"):
                assert parameter.default is parameter.empty
                assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            else:
                assert parameter.default == ("exact" if name == "hessian" else None)
                assert parameter.kind is parameter.KEYWORD_ONLY

    def test_one_call_function(self) -> None:
        """The first five are torchvision's, in its order."""
        parameters = inspect.signature(fg.sigmoid_focal_loss).parameters
        assert list(parameters)[:5] == ["inputs", "targets", "alpha", "gamma", "reduction"]
        assert [parameters[name].default for name in ("alpha", "gamma", "reduction")] == [0.25, 2.0, "none"]
        assert list(parameters)[5:] == ["sample_weight", "out", "options"]
        kinds = [parameters[name].kind for name in list(parameters)[5:]]
        assert kinds == [inspect.Parameter.KEYWORD_ONLY] * 2 + [inspect.Parameter.VAR_KEYWORD]

    def test_one_call_softmax(self) -> None:
        parameters = inspect.signature(fg.softmax_focal_loss).parameters
        assert list(parameters) == list(inspect.signature(fg.sigmoid_focal_loss).parameters)
        assert [parameters[name].default for name in ("alpha", "gamma", "reduction")] == [None, 2.0, "none"]

    def test_the_reference_takes_the_same(self) -> None:
        """The same options with the same defaults."""
        for loss, options in (
            (fg.SigmoidFocalLoss, reference.SIGMOID),
            (fg.SoftmaxFocalLoss, reference.SOFTMAX),
        ):
            parameters = inspect.signature(loss).parameters
            assert {name: parameter.default for name, parameter in parameters.items()} == options

    def test_arrays_by_name(self) -> None:
        logits, targets = sample(9, np.float32), coin(9)
        loss = fg.SigmoidFocalLoss(reduction="none")
        for method in METHODS:
            by_name = getattr(loss, method)(targets=targets, logits=logits)
            np.testing.assert_array_equal(by_name, getattr(loss, method)(logits, targets))
        by_name = fg.sigmoid_focal_loss(targets=targets, inputs=logits)
        np.testing.assert_array_equal(by_name, loss(logits, targets))


class TestObjects:
    """A loss is a small immutable value."""

    @given(losses)
    def test_repr_makes_it_again(self, loss: fg.SigmoidFocalLoss) -> None:
        text = repr(loss)
        assert text.startswith("SigmoidFocalLoss(") and str(loss) == text
        again = eval(text, {"SigmoidFocalLoss": fg.SigmoidFocalLoss})
        assert again == loss and repr(again) == text

    @given(losses)
    def test_copies_are_equal(self, loss: fg.SigmoidFocalLoss) -> None:
        made = [copy.copy(loss), copy.deepcopy(loss), loss.replace()]
        made += [
            pickle.loads(pickle.dumps(loss, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ]
        for other in made:
            assert type(other) is fg.SigmoidFocalLoss
            assert other == loss and hash(other) == hash(loss)
            assert (other != loss) is False

    @given(losses, losses)
    def test_equal_means_equal_parameters(self, a: fg.SigmoidFocalLoss, b: fg.SigmoidFocalLoss) -> None:
        names = ("alpha", "gamma", "reduction", "normalizer")
        equal = all(getattr(a, name) == getattr(b, name) for name in names)
        assert (a == b) is equal and (a != b) is not equal
        if equal:
            assert hash(a) == hash(b)

    def test_different_ones_differ(self) -> None:
        made = [
            fg.SigmoidFocalLoss(),
            fg.SigmoidFocalLoss(None),
            fg.SigmoidFocalLoss(0),
            fg.SigmoidFocalLoss(gamma=2.5),
            fg.SigmoidFocalLoss(reduction="sum"),
            fg.SigmoidFocalLoss(reduction="none"),
            fg.SigmoidFocalLoss(normalizer="positives"),
            fg.SigmoidFocalLoss(normalizer="weights"),
            fg.SigmoidFocalLoss(normalizer=1),
        ]
        assert len(set(made)) == len(made)

    def test_zeros_are_equal(self) -> None:
        assert fg.SigmoidFocalLoss(-0.0, -0.0) == fg.SigmoidFocalLoss(0, 0)
        assert hash(fg.SigmoidFocalLoss(-0.0, -0.0)) == hash(fg.SigmoidFocalLoss(0, 0))

    def test_other_types_are_unequal(self) -> None:
        loss = fg.SigmoidFocalLoss()
        for other in (None, 0.25, "SigmoidFocalLoss()", (0.25, 2.0), object(), fg.SigmoidFocalLoss):
            assert loss != other
            assert (loss == other) is False
        with pytest.raises(TypeError):
            loss < fg.SigmoidFocalLoss()  # noqa: B015

    def test_ints_equal_floats(self) -> None:
        assert fg.SigmoidFocalLoss(1, 2, normalizer=3) == fg.SigmoidFocalLoss(1.0, 2.0, normalizer=3.0)
        assert repr(fg.SigmoidFocalLoss(1, 2, normalizer=3)) == repr(
            fg.SigmoidFocalLoss(1.0, 2.0, normalizer=3.0)
        )

    @pytest.mark.parametrize(
        "number",
        [np.float32, np.float64, np.float16, np.int64, np.uint8, np.array, lambda n: np.array(n, np.float32)],
    )
    def test_numpy_numbers_are_numbers(self, number: Any) -> None:
        loss = fg.SigmoidFocalLoss(number(1), number(2), normalizer=number(3))
        assert loss == fg.SigmoidFocalLoss(1, 2, normalizer=3)
        assert [type(value) for value in (loss.alpha, loss.gamma, loss.normalizer)] == [float] * 3

    def test_attributes(self) -> None:
        loss = fg.SigmoidFocalLoss(0, 1, normalizer="weights")
        assert (loss.alpha, loss.gamma, loss.reduction, loss.normalizer) == (0.0, 1.0, "mean", "weights")
        assert type(loss.alpha) is type(loss.gamma) is float
        loss = fg.SigmoidFocalLoss(None)
        assert (loss.alpha, loss.gamma, loss.reduction, loss.normalizer) == (None, 2.0, "mean", None)

    def test_negative_alpha_is_stored_as_none(self) -> None:
        assert fg.SigmoidFocalLoss(-1).alpha is None
        assert fg.SigmoidFocalLoss(-1) == fg.SigmoidFocalLoss(None)

    @pytest.mark.parametrize("name", ["alpha", "gamma", "reduction", "normalizer", "something"])
    def test_frozen(self, name: str) -> None:
        loss = fg.SigmoidFocalLoss()
        with pytest.raises(AttributeError):
            setattr(loss, name, 1.0)
        with pytest.raises(AttributeError):
            delattr(loss, name)
        assert loss == fg.SigmoidFocalLoss()


class TestReplace:
    """A changed copy, checked like a new object."""

    def test_changes_what_is_named(self) -> None:
        loss = fg.SigmoidFocalLoss(0.3, 1.7, normalizer="weights")
        assert loss.replace(gamma=3) == fg.SigmoidFocalLoss(0.3, 3, normalizer="weights")
        assert loss.replace(alpha=None) == fg.SigmoidFocalLoss(None, 1.7, normalizer="weights")
        assert loss.replace(normalizer=None) == fg.SigmoidFocalLoss(0.3, 1.7)
        assert loss == fg.SigmoidFocalLoss(0.3, 1.7, normalizer="weights")

    def test_leaving_the_mean_drops_the_normalizer(self) -> None:
        loss = fg.SigmoidFocalLoss(normalizer="weights")
        assert loss.replace(reduction="sum") == fg.SigmoidFocalLoss(reduction="sum")
        assert loss.replace(reduction="none").normalizer is None
        assert loss.replace(reduction="mean").normalizer == "weights"
        with pytest.raises(ValueError, match="normalizer"):
            loss.replace(reduction="sum", normalizer="weights")

    def test_copy_replace(self) -> None:
        loss = fg.SigmoidFocalLoss(normalizer="weights")
        assert loss.__replace__(reduction="sum") == loss.replace(reduction="sum")
        if hasattr(copy, "replace"):
            assert copy.replace(loss, gamma=0.5) == loss.replace(gamma=0.5)

    def test_refuses(self) -> None:
        loss = fg.SigmoidFocalLoss()
        with pytest.raises(ValueError, match="gamma"):
            loss.replace(gamma=-1)
        with pytest.raises(TypeError, match="gama"):
            loss.replace(gama=1)
        with pytest.raises(TypeError):
            loss.replace(0.5)


@given(losses)
def test_one_call_function_is_the_object(loss: fg.SigmoidFocalLoss) -> None:
    """With every parameter."""
    logits, targets, weights = sample(50, np.float32), coin(50), np.linspace(0, 1, 50)
    logits[np.isnan(logits)] = 0
    options = {name: getattr(loss, name) for name in ("alpha", "gamma", "reduction", "normalizer")}
    got = fg.sigmoid_focal_loss(logits, targets, **options, sample_weight=weights)
    want = loss(logits, targets, sample_weight=weights)
    assert type(got) is type(want)
    np.testing.assert_array_equal(got, want)
    if loss.reduction == "none":
        out = np.empty_like(logits)
        assert fg.sigmoid_focal_loss(logits, targets, **options, sample_weight=weights, out=out) is out
        np.testing.assert_array_equal(out, want)


class TestDocumentation:
    """Every public name explains itself, and its examples run."""

    @pytest.mark.parametrize(
        ("name", "thing"), public_callables(), ids=lambda item: item if type(item) is str else ""
    )
    def test_sections(self, name: str, thing: Any) -> None:
        text = inspect.getdoc(thing)
        assert text, name
        sections = {line for line, rule in pairwise(text.splitlines()) if rule.startswith("---")}
        wanted = {"Examples"}
        if list(inspect.signature(thing).parameters) not in ([], ["self"]):
            wanted |= {"Parameters", "Raises"}
        if not isinstance(thing, type) and name != "set_num_threads":
            wanted |= {"Yields" if inspect.isgeneratorfunction(inspect.unwrap(thing)) else "Returns"}
        assert wanted <= sections, f"{name} lacks {wanted - sections}"

    @pytest.mark.parametrize(
        ("name", "thing"), public_callables(), ids=lambda item: item if type(item) is str else ""
    )
    def test_parameters(self, name: str, thing: Any) -> None:
        text = inspect.getdoc(thing)
        for parameter in inspect.signature(thing).parameters.values():
            if parameter.name not in ("self", "changes") and parameter.kind is not parameter.VAR_KEYWORD:
                assert parameter.name in text, f"{name} does not document {parameter.name}"

    @pytest.mark.parametrize(
        ("name", "thing"), public_callables(), ids=lambda item: item if type(item) is str else ""
    )
    def test_examples(self, name: str, thing: Any) -> None:
        example = doctest.DocTestParser().get_doctest(
            inspect.getdoc(thing), {"np": np, "fg": fg}, name, None, None
        )
        assert example.examples, f"{name} has no example"
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        printed: list[str] = []
        assert doctest.DocTestRunner(optionflags=flags).run(example, out=printed.append).failed == 0, "".join(
            printed
        )

    def test_package_and_source(self) -> None:
        assert fg.__doc__
        assert "Lin" in inspect.getdoc(fg.SigmoidFocalLoss) and "2017" in inspect.getdoc(fg.SigmoidFocalLoss)


def test_stubs_show_the_same_parameters() -> None:
    """The stub of the compiled module against what it says of itself at run time."""
    package = Path(fg.__file__).parent
    assert (package / "py.typed").is_file()
    tree = ast.parse((package / "_core.pyi").read_text())
    seen = set()

    def check(node: ast.FunctionDef, thing: Any, name: str) -> None:
        arguments = node.args
        stub = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        stub = [argument for argument in stub if argument not in ("self", "cls")]
        real = [p.name for p in inspect.signature(thing).parameters.values() if p.kind is not p.VAR_KEYWORD]
        assert stub == [argument for argument in real if argument != "self"], name
        seen.add(name)

    for node in tree.body:
        thing = getattr(fg, getattr(node, "name", ""), None)
        if thing is None:
            continue
        if isinstance(node, ast.FunctionDef):
            check(node, thing, node.name)
        elif isinstance(node, ast.ClassDef):
            seen.add(node.name)
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    if any("property" in ast.unparse(decorator) for decorator in method.decorator_list):
                        assert hasattr(thing, method.name)
                    else:
                        check(method, getattr(thing, method.name), f"{node.name}.{method.name}")
    written_in_python = {"FocalLossMeter", "Evaluation"}
    native = {n for n, thing in public_callables() if type(thing).__name__ != "function"} - written_in_python
    assert {name for name in native if name.split(".")[0] in seen or "." not in name} <= seen
