"""`check_term` can fail: planted faults in every function of a term, and messages for terms that cannot be checked."""

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from hw4opt import (
    RBF,
    Absolute,
    EpsilonInsensitive,
    Huber,
    Increasing,
    InputError,
    Logistic,
    Quantile,
    Squared,
    TotalVariation,
    check_term,
)
from hw4opt.terms import Smooth, Table
from hw4opt.terms.conformance import check_conjugate, check_fenchel_young
from hw4opt.terms.conformance._fixed import fixed_terms
from own_terms import LogCosh, Roughness


class ProxKinkAtDelta(Huber):
    def prox(self, v, step):
        return np.where(np.abs(v) <= self.delta, v / (1 + 2 * step), v - 2 * step * self.delta * np.sign(v))


class ProxShiftedNearItsKink(Huber):
    def prox(self, v, step):
        return super().prox(v, step) + 1e-4 * (np.abs(np.abs(v) - self.delta * (1 + 2 * step)) < 1e-3)


class ProxShiftedNearAJump(Absolute):
    def prox(self, v, step):
        return super().prox(v, step) + 1e-4 * (np.abs(np.abs(v) - step) < 1e-3)


class ConjugateOfHalf(Huber):
    def conjugate(self, u):
        return 2 * super().conjugate(u)


class ConjugateOpen(Absolute):
    def conjugate(self, u):
        return 0.0 if np.all(np.abs(u) < 1) else np.inf


class ConjugateWithoutDomain(Absolute):
    def conjugate(self, u):
        return 0.0


class MeanInsteadOfSum(Squared):
    def value(self, z):
        return super().value(z) / np.size(z)


class HalfModel(Squared):
    def model(self, cp, z):
        return 0.5 * cp.square(z)


class TurnedModel(Quantile):
    def model(self, cp, z):
        return super().model(cp, -z)


class TurnedConstraint(Increasing):
    def model(self, cp, z):
        return [z <= 0]


class WrongGradient(Logistic):
    def gradient(self, z, y):
        return super().gradient(z, y) * (1 + 1e-5)


class WrongCurvature(Logistic):
    def curvature(self, z, y):
        return super().curvature(z, y) * (1 + 1e-5)


class ClippedTooFar(Logistic):
    def clip_dual(self, u, y):
        return 0.5 * super().clip_dual(u, y)


class SameUnits(Huber):
    def in_units(self, size):
        return size * size, self


class UnitsOfTheFactor(Absolute):
    def in_units(self, size):
        return size * size, self


class UnitsOfTheModel(Quantile):
    def in_units(self, size):
        return size, type(self)(1 - self.tau)


class NegativeTable(Squared):
    @property
    def tables(self):
        return (Table(quadratic=-0.5),)


class TableApartFromTheModel(Huber):
    @property
    def tables(self):
        return (Table(quadratic=0.5, low=-2 * self.delta, high=3 * self.delta),)


class CurvesMoreThanItSays(LogCosh):
    self_concordance = 1.0


class SteeperThanItSays(LogCosh):
    steepest = 0.5


class NeverFallsItSays(Logistic):
    steepening = True


class SlackOfZero(Logistic):
    def slack(self, z, u, y):
        return np.zeros_like(z * u)


class HalfDeviance(Logistic):
    def deviance(self, z, y):
        return self.pointwise(z, y)


class LeastIsAnother(Logistic):
    def least(self, y):
        return super().least(y) + 1


class DerivativesApart(Logistic):
    def derivatives(self, z, y):
        value, slope, bend = super().derivatives(z, y)
        return value, slope, 1.001 * bend


class DividesByTheWeight(Roughness):
    @property
    def tables(self):
        return (Table(quadratic=0.5 / self.weight),)


class NeverEqual(Squared):
    def __eq__(self, other):
        return False

    __hash__ = object.__hash__


class Raises(Squared):
    def prox(self, v, step):
        return v / self.weight


class SumInsteadOfRows(Squared):
    def pointwise(self, z, y=0.0):
        return np.square(z).sum()


class RaisesInItsModel(Squared):
    def model(self, cp, z):
        return cp.nothing(z)


PLANTED = [
    (Raises(), "prox raises AttributeError: 'Raises' object has no attribute 'weight'"),
    (SumInsteadOfRows(), "pointwise of an array of shape (45,) has shape ()"),
    (RaisesInItsModel(), "model raises AttributeError"),
    (ProxKinkAtDelta(), "prox("),
    (ProxShiftedNearItsKink(), "prox("),
    (ProxShiftedNearAJump(), "prox("),
    (ConjugateOfHalf(), "conjugate("),
    (ConjugateOpen(), "conjugate("),
    (ConjugateWithoutDomain(), "conjugate("),
    (MeanInsteadOfSum(), "value of 45 rows is"),
    (HalfModel(), "model("),
    (TurnedModel(tau=0.75), "model("),
    (TurnedConstraint(), "keeps to the constraint of model, and value is infinite there"),
    (TableApartFromTheModel(), "model("),
    (NegativeTable(), ""),
    (WrongGradient(), "gradient at"),
    (WrongCurvature(), "curvature at"),
    (CurvesMoreThanItSays(), "above self_concordance · f'' ="),
    (SteeperThanItSays(), "above steepest = 0.5"),
    (NeverFallsItSays(), "steepening is set"),
    (DerivativesApart(), "the curvature of derivatives at"),
    (ClippedTooFar(), "there is a nearer u where f* is finite"),
    (SlackOfZero(), "slack is 0"),
    (HalfDeviance(), "deviance at"),
    (LeastIsAnother(), "least at"),
    (SameUnits(), "in_units("),
    (UnitsOfTheFactor(), "in_units("),
    (UnitsOfTheModel(0.75), "in_units("),
    (DividesByTheWeight(1.0), "has no tables (float division by zero); Table.times(weight)"),
    (NeverEqual(), "differs from a copy of itself"),
]


@pytest.mark.parametrize(("term", "sentence"), PLANTED, ids=lambda item: type(item).__name__)
def test_a_planted_fault_is_caught(term, sentence):
    with pytest.raises(InputError, match=f"{term.name}.*{re.escape(sentence)}"):
        check_term(term)


@pytest.mark.parametrize(
    ("check", "term"),
    [
        (check_fenchel_young, ProxKinkAtDelta()),
        (check_fenchel_young, ProxShiftedNearItsKink()),
        (check_fenchel_young, ProxShiftedNearAJump()),
        (check_fenchel_young, ConjugateOfHalf()),
        (check_fenchel_young, ConjugateWithoutDomain()),
        (check_conjugate, ConjugateOfHalf()),
    ],
    ids=lambda item: getattr(item, "__name__", type(item).__name__),
)
def test_each_of_two_witnesses_catches_it_alone(check, term):
    with np.errstate(all="ignore"):
        for right in (Huber(), Absolute()):
            check(next(fixed_terms(right, None)))
        with pytest.raises(InputError):
            check(next(fixed_terms(term, None)))


@dataclass(frozen=True)
class NeedsAParameter(Squared):
    """No default."""

    name: ClassVar[str] = "needs_a_parameter"
    size: float = 1.0

    def __init__(self, size):
        object.__setattr__(self, "size", size)


class TakesOddTargets(LogCosh):
    def check_targets(self, y):
        if not np.all(y == 7):
            raise InputError("every target is 7")
        return y


def test_classes_and_targets_that_cannot_be_tried_say_so():
    check_term(Squared)
    with pytest.raises(InputError, match=r"needs_a_parameter has parameters without defaults .*; give the term"):
        check_term(NeedsAParameter)
    with pytest.raises(InputError, match="is not a term"):
        check_term(RBF)
    with pytest.raises(
        InputError, match="the class Smooth lacks check_targets, clip_dual, conjugate_pointwise, curvature"
    ):
        check_term(Smooth)
    with pytest.raises(
        InputError, match=r"give targets that it takes, as in check_term\(term, targets=\[1, 2\]\): every target"
    ):
        check_term(TakesOddTargets())
    check_term(TakesOddTargets(), targets=[7.0])


@pytest.mark.parametrize(
    "term", [Huber(1 / 3), Huber(300.0), Quantile(0.3), EpsilonInsensitive(1 / 7), TotalVariation(1e-5)]
)
def test_parameters_that_are_no_quarters_are_fine(term):
    check_term(term)
