"""What the adapters of all boosters promise alike: objects, call forms, starts, bad use."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import focalgrad as fg
from focalgrad import catboost, lightgbm, xgboost

MODULES = (lightgbm, xgboost, catboost)
modules = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.split(".")[1])
BINARY = fg.SigmoidFocalLoss(alpha=0.25, gamma=2.0)


@modules
class TestObjects:
    """Objectives and metrics are values."""

    def test_repr_is_the_call(self, module: Any) -> None:
        names = {
            "SigmoidFocalLoss": fg.SigmoidFocalLoss,
            "Objective": module.Objective,
            "Metric": module.Metric,
        }
        for thing in (module.Objective(BINARY, hessian="exact"), module.Metric(BINARY, name="fl")):
            assert eval(repr(thing), names) == thing

    def test_equal_hashable_picklable_frozen(self, module: Any) -> None:
        for make in (module.Objective, module.Metric):
            one, same, other = make(BINARY), make(BINARY), make(BINARY.replace(gamma=3.0))
            assert one == same
            assert hash(one) == hash(same)
            assert one != other
            assert pickle.loads(pickle.dumps(one)) == one
            assert copy.deepcopy(one) is one
            assert copy.copy(one) is one
            with pytest.raises(AttributeError):
                one.loss = BINARY

    def test_differ_by_hessian_and_name(self, module: Any) -> None:
        assert module.Objective(BINARY) != module.Objective(BINARY, hessian="exact")
        assert module.Objective(BINARY).hessian == "upper"
        assert module.Metric(BINARY) != module.Metric(BINARY, name="other")
        assert module.Metric(BINARY).name == "focal_loss"

    def test_refused_losses(self, module: Any) -> None:
        with pytest.raises(TypeError, match="loss must be a SigmoidFocalLoss or SoftmaxFocalLoss; got str"):
            module.Objective("focal")
        with pytest.raises(ValueError, match=r"raw scores; got from_logits=False"):
            module.Objective(fg.SigmoidFocalLoss(from_logits=False))
        with pytest.raises(ValueError, match=r"class_axis=-1.*got class_axis=0"):
            module.Objective(fg.SoftmaxFocalLoss(class_axis=0))
        with pytest.raises(ValueError, match=r"hessian must be .*got 'newton'"):
            module.Objective(BINARY, hessian="newton")
