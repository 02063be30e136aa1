"""check_solver: every solver of the folder passes it, and each planted fault is named."""

import dataclasses

import numpy as np
import pytest

import hw4opt
from hw4opt import RBF, Huber, InputError, Problem, RefusedError, Ridge, Squared, TotalVariation, UnknownNameError, fit
from hw4opt.crosscheck import crosscheck
from hw4opt.form.answer import Answer
from hw4opt.solvers import Solver, load_solver, solver_names
from hw4opt.solvers.interior import Interior

X = np.linspace(0, 1, 25)
PROBLEM = Problem(X, np.sin(6 * X), RBF(20.0), Huber(0.3), [Ridge(0.1), TotalVariation(0.1)])


@pytest.mark.parametrize("name", solver_names())
def test_every_solver_of_the_folder_passes(name):
    hw4opt.check_solver(name)


class Own(Interior):
    """A solver of a user's own."""

    name = "own"


def test_an_object_is_taken_wherever_a_name_is():
    hw4opt.check_solver(Own())
    ours, theirs = fit(PROBLEM, Own()), fit(PROBLEM)
    assert ours.solver == "own" and ours.status.word == "certified" and (ours.w == theirs.w).all()
    found = crosscheck(PROBLEM, [Own(), "admm"])
    assert found.agrees and [row.solver for row in found.rows] == ["own", "admm"]


def answering(change):
    """A correct solver with one planted change of its answer."""

    class Changed(Own):
        name = "changed"

        def solve(self, form, options, start=None):
            return change(form, options, super().solve(form, options, start))

    return Changed()


def spoil(form, answer):
    form.penalty[:] *= 1.001
    return answer


FAULTS = {
    "reports problem 0 of .* as solved, which it is not": lambda form, options, found: dataclasses.replace(
        found, w=1.01 * found.w
    ),
    "w of squared has shape": lambda form, options, found: dataclasses.replace(found, w=found.w[:1]),
    "u of squared has shape": lambda form, options, found: dataclasses.replace(found, u=np.full_like(found.u, np.nan)),
    "one entry for each of the 2 problems": lambda form, options, found: dataclasses.replace(
        found, reached=found.reached[:1]
    ),
    "it must be an Answer": lambda form, options, found: (found.w, found.u),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_fault_is_named(sentence):
    with pytest.raises(InputError, match=sentence):
        hw4opt.check_solver(answering(FAULTS[sentence]))


def test_a_form_that_is_changed_is_noticed():
    class Careless(Own):
        name = "careless"

        def scale_free(self, form):
            return True

        def solve(self, form, options, start=None):
            return spoil(form, super().solve(form, options, start))

    with pytest.raises(InputError, match="changes the form of squared"):
        hw4opt.check_solver(Careless())


class Idle(Own):
    name = "idle"

    def solve(self, form, options, start=None):
        found = super().solve(form, options, start)
        return Answer(0 * found.w, 0 * found.u, [hw4opt.Status.ITERATION_LIMIT] * form.batch, found.iterations)


def test_what_is_taken_must_be_solved():
    with pytest.raises(InputError, match="takes squared and does not solve it"):
        hw4opt.check_solver(Idle())


@pytest.mark.parametrize(
    ("said", "sentence"), [(True, "it must be a sentence"), ("", "it must be a sentence"), ("no", "refuses every")]
)
def test_a_refusal_is_a_sentence(said, sentence):
    class Refusing(Own):
        name = "refusing"

        def refuse(self, form):
            return said

    with pytest.raises(InputError, match=sentence):
        hw4opt.check_solver(Refusing())
    if said:
        with pytest.raises(RefusedError, match="refusing refuses this problem"):
            fit(PROBLEM, Refusing())


def test_what_is_no_solver_is_refused_in_a_sentence():
    class Nameless(Own):
        name = ""

    with pytest.raises(InputError, match="the class Nameless of the solver needs a name"):
        fit(PROBLEM, Nameless())
    for wrong in (3, Own, None, load_solver):
        with pytest.raises(InputError, match="solver"):
            fit(PROBLEM, wrong)
    with pytest.raises(UnknownNameError, match="interior"):
        fit(PROBLEM, "interor")
    with pytest.raises(InputError, match="only cvxpy and qp take a name after a colon"):
        fit(PROBLEM, "interior:fast")
    assert (
        isinstance(load_solver("admm"), Solver)
        and fit(Problem(X, X, RBF(1.0), Squared(), [Ridge(0.1)]), "auto").solver == "interior"
    )
