"""The folders are the registry: what is found, what a term must be, and how a wrong name or parameter is refused."""

import dataclasses
import importlib
import sys

import pytest

from hw4opt.errors import InputError, UnknownNameError
from hw4opt.terms import Coefficients, Differences, Loss, Slope, Term, Values, find, load, names, parameters

SCOPE = {
    "loss": {"squared", "huber", "absolute", "quantile", "epsilon_insensitive", "logistic", "poisson"},
    "regularizer": {"ridge", "tv", "trend", "l1"},
    "constraint": {
        "increasing",
        "decreasing",
        "convex",
        "concave",
        "bounds",
        "nonnegative",
        "coef_bounds",
        "coef_nonnegative",
    },
}
ACTS = {
    "tv": Differences(1),
    "trend": Differences(2),
    "increasing": Differences(1),
    "decreasing": Differences(1),
    "convex": Differences(2),
    "concave": Differences(2),
    "l1": Coefficients(),
    "coef_bounds": Coefficients(raw=True),
    "coef_nonnegative": Coefficients(raw=True),
}
EVERY = [(kind, name) for kind in SCOPE for name in names(kind)]
PARAMETERS = [(kind, name, parameter) for kind, name in EVERY for parameter in parameters(load(kind, name))]
OUT_OF_RANGE = {
    ("huber", "delta"): [0, -1, "text"],
    ("quantile", "tau"): [0, 1, -0.1, 1.5, "text"],
    ("epsilon_insensitive", "epsilon"): [-0.1, "text"],
    ("poisson", "quasi"): [-1, 0.5, 2, "text", None],
    ("poisson", "truncated"): [-1, 0.5, 2, "text", None],
    ("ridge", "weight"): [-0.1, "text"],
    ("tv", "weight"): [-0.1, "text"],
    ("l1", "weight"): [-0.1, "text"],
    ("trend", "weight"): [-0.1, "text"],
    ("trend", "order"): [0, 5, 1.5, float("inf"), "text", None],
    ("bounds", "lower"): [float("inf"), "text"],
    ("bounds", "upper"): [-float("inf"), "text"],
    ("coef_bounds", "lower"): [float("inf"), "text"],
    ("coef_bounds", "upper"): [-float("inf"), "text"],
    ("increasing", "column"): [-1, 1.5],
    ("decreasing", "column"): [-1, 1.5],
}


@pytest.mark.parametrize("kind", SCOPE)
def test_the_promised_terms_are_there(kind):
    assert set(names(kind)) >= SCOPE[kind]
    assert list(names(kind)) == sorted(names(kind))


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_file_holds_one_frozen_documented_term_of_its_name(kind, name):
    term = load(kind, name)
    classes = [item for item in vars(sys.modules[term.__module__]).values() if isinstance(item, type)]
    assert [item for item in classes if item.__module__ == term.__module__ and not item.__name__.startswith("_")] == [
        term
    ]
    assert issubclass(term, Loss if kind == "loss" else Term)
    assert term.__dataclass_params__.frozen
    assert term.__doc__ and not term.__doc__.startswith(f"{term.__name__}(")
    assert term.__module__.endswith(f".{name}")


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_term_says_what_it_acts_on(kind, name):
    term = find(kind, name, **({"lower": 0} if name in ("bounds", "coef_bounds") else {}))
    assert term.name == name
    assert term.acts == ACTS.get(name, Values()) or name not in SCOPE[kind]
    assert term == dataclasses.replace(term) and hash(term) == hash(dataclasses.replace(term))


def test_order_and_column_change_what_a_term_acts_on():
    assert find("regularizer", "trend", order=3).acts == Differences(3)
    assert find("constraint", "increasing", column=0).acts == Slope(0)
    assert find("constraint", "decreasing", column=2).acts == Slope(2)


@pytest.mark.parametrize(("kind", "name", "parameter"), PARAMETERS)
def test_nan_is_refused_by_the_parameters_name(kind, name, parameter):
    with pytest.raises(InputError, match=f"{name}.*{parameter} is nan"):
        find(kind, name, **{parameter: float("nan")})


@pytest.mark.parametrize(
    ("kind", "name", "parameter", "value"),
    [(*owned, value) for owned in PARAMETERS for value in OUT_OF_RANGE.get(owned[1:], [])],
)
def test_a_value_out_of_range_is_refused_by_the_parameters_name(kind, name, parameter, value):
    with pytest.raises(InputError, match=f"{name}.*{parameter}"):
        find(kind, name, **{parameter: value})


def test_contradictory_bounds_name_both():
    with pytest.raises(InputError, match="lower = 5 and upper = 1"):
        find("constraint", "bounds", lower=5, upper=1)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_an_unknown_parameter_lists_what_exists(kind, name):
    with pytest.raises(UnknownNameError) as caught:
        find(kind, name, nonsense=1)
    assert all(word in str(caught.value) for word in (name, "nonsense", *(parameters(load(kind, name)) or ("none",))))


@pytest.mark.parametrize("kind", SCOPE)
def test_an_unknown_term_lists_what_exists(kind):
    for call in (load, find):
        with pytest.raises(UnknownNameError) as caught:
            call(kind, "nonsense")
        assert all(word in str(caught.value) for word in (kind, "nonsense", *names(kind)))


def test_a_near_miss_is_suggested():
    with pytest.raises(UnknownNameError, match="did you mean 'huber'"):
        find("loss", "hubber")
    with pytest.raises(UnknownNameError, match="did you mean 'delta'"):
        find("loss", "huber", dleta=1)


ABSOLUTE = "from typing import ClassVar\nfrom hw4opt.losses.absolute import Absolute\n"
SOURCES = {  # of a file that adds a loss, or that cannot
    "planted": ABSOLUTE + "class New(Absolute):\n    'New.'\n    name: ClassVar[str] = 'planted'\n",
    "of_another_name": ABSOLUTE + "class New(Absolute):\n    'New.'\n",
    "two_classes": ABSOLUTE + "class One(Absolute): ...\nclass Two(Absolute): ...\n",
    "lacking": "from hw4opt.terms import Smooth\nclass New(Smooth):\n    name = 'lacking'\n",
}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """The folder of losses with files more, as SOURCES has them."""
    for name, source in SOURCES.items():
        (tmp_path / f"{name}.py").write_text(source)
    (tmp_path / "_private.py").write_text("")
    folder = importlib.import_module("hw4opt.losses")
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    names.cache_clear()
    yield
    for name in SOURCES:
        sys.modules.pop(f"hw4opt.losses.{name}", None)
    names.cache_clear()
    load.cache_clear()


def test_a_new_file_is_a_new_term(planted):
    assert set(names("loss")) >= SCOPE["loss"] | {"planted"} and "_private" not in names("loss")
    assert load("loss", "planted").__name__ == "New" and find("loss", "planted").name == "planted"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("of_another_name", "of_another_name.py: the name of its class must be 'of_another_name'"),
        ("two_classes", "two_classes.py has 2 public classes"),
        (
            "lacking",
            "lacking.py: the class New lacks check_targets, clip_dual, conjugate_pointwise, curvature, gradient",
        ),
    ],
)
def test_a_file_that_is_no_term_says_why(planted, name, sentence):
    with pytest.raises(InputError, match=sentence):
        find("loss", name)
