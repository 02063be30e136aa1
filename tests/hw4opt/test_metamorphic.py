"""Changes that cannot move the optimum, or move it in a known way, over every loss × regularizer × constraint × design
× solver found.

Certified has to mean right: a certified answer of the changed problem is that of the unchanged one, moved as
`metamorphic.relations` says. A seeded sample runs by default; `pytest -m full` runs all of it.
"""

import random
from functools import cache
from itertools import islice

import pytest

from hw4opt import Ridge
from hw4opt.form.canonicalize import canonicalize
from hw4opt.solvers import load_solver, solver_names
from hw4opt.terms import names
from metamorphic.compare import EXACT, compare, compare_held_out
from metamorphic.problems import designs, problems
from metamorphic.relations import RELATIONS

SLOWER = 41  # solvers that are not exact are tried on every so many problems
FEWER = 2  # further sizes of a change on every so many
FOLDS = 5  # and held-out fits
FEWER_FOLDS = {"HeavyRows": 5}  # where folds are refitted one by one
SAMPLE = 3
FIRST = {type(relation): name for name, relation in reversed(RELATIONS.items())}.values()
HELD_OUT = [name for name, relation in RELATIONS.items() if relation.held_out]
OTHERS = [name for name in solver_names() if name not in EXACT]
RUNS = [(name, solver) for solver in solver_names() for name in RELATIONS if solver in EXACT or name in FIRST]


def takes(solver, name):
    return load_solver(solver).refuse(canonicalize(problems()[name])) is None


def tried_by(solver):
    """Names of the problems that the solver is tried on, where it takes them."""
    return list(problems())[:: 1 if solver in EXACT else SLOWER]


@cache
def taken(solver):
    """Names of the problems that the solver takes."""
    return [name for name in tried_by(solver) if takes(solver, name)]


def report(tried):
    """Run (name, comparison) pairs; every fault is a line. Nothing in the relation's scope is a skip, with its
    reason."""
    faults, count = [], 0
    for name, run in tried:
        try:
            found = run()
        except Exception as error:
            found = [f"raises {error!r}"]
        count += found is not None
        faults += [f"{name}: {fault}" for fault in found or ()]
    assert not faults, "\n".join([f"{len(faults)} faults, {count} problems", *faults])
    if not count:
        pytest.skip("no problem of these lies in the relation's scope")


def fits(relation, solver, chosen):
    return [(name, lambda name=name: compare(relation, problems()[name], solver)) for name in chosen]


def folds(relation, chosen):
    return [(name, lambda name=name: compare_held_out(relation, problems()[name])) for name in chosen]


@pytest.mark.full
@pytest.mark.parametrize(("name", "solver"), RUNS)
def test_certified_fits_move_as_the_problem_does(name, solver):
    chosen = taken(solver)
    report(
        fits(RELATIONS[name], solver, chosen if name in FIRST else chosen[list(RELATIONS).index(name) % FEWER :: FEWER])
    )


@pytest.mark.full
@pytest.mark.parametrize("name", HELD_OUT)
def test_held_out_predictions_move_as_the_problem_does(name):
    step = FOLDS * FEWER_FOLDS.get(name, 1)
    report(folds(RELATIONS[name], list(problems())[HELD_OUT.index(name) % FOLDS :: step]))


@cache
def scope(name):
    """Names of the problems that the relation changes."""
    return [one for one, problem in problems().items() if RELATIONS[name].base(problem) is not None]


def in_scope(name, chosen):
    """Those that the relation changes, in a seeded order."""
    changed = set(scope(name))
    mine = [one for one in chosen if one in changed]
    return random.Random(f"13 {name}").sample(mine, len(mine))


def taken_sample(name, solver, count):
    """So many of them that the solver takes."""
    return list(islice((one for one in in_scope(name, tried_by(solver)) if takes(solver, one)), count))


@pytest.mark.parametrize(
    "name", [name if name in FIRST else pytest.param(name, marks=pytest.mark.slow) for name in RELATIONS]
)
def test_a_sample_moves_as_the_problem_does(name):
    relation, place = RELATIONS[name], list(RELATIONS).index(name)
    other = OTHERS[place % len(OTHERS)]
    tried = fits(relation, "interior", taken_sample(name, "interior", SAMPLE))
    tried += fits(relation, other, taken_sample(name, other, 1))
    report(tried + (folds(relation, in_scope(name, problems())[:1]) if relation.held_out else []))


def test_everything_found_in_the_folders_is_in_the_table():
    used = problems().values()
    assert {problem.loss.name for problem in used} == set(names("loss"))
    assert {term.name for problem in used for term in problem.regularizers} == set(names("regularizer"))
    assert {term.name for problem in used for term in problem.constraints} == set(names("constraint"))
    assert {name.partition(":")[0] for name in problems()} == set(designs())
    assert all(
        problem.kernel is None or any(isinstance(term, Ridge) for term in problem.regularizers) for problem in used
    )


@pytest.mark.parametrize("name", RELATIONS)
def test_every_relation_has_problems_with_every_term_that_it_does_not_exclude(name):
    mine = [problems()[one] for one in scope(name)]
    assert len(mine) >= 20
    assert len({problem.loss.name for problem in mine}) >= 4
