"""Words that stand for terms and kernels."""

import pytest

from hw4opt import Huber, Increasing, InputError, Matern52, Polynomial, Quantile
from hw4opt.problem.words import kernel_of, parse_spec, term_of


def test_a_word_is_a_name_and_parameters():
    spec = parse_spec("loss", " huber : delta = 1.5 ")
    assert (spec.name, spec.parameters) == ("huber", {"delta": "1.5"})
    assert parse_spec("reg", "tv=0.3", short="weight").parameters == {"weight": "0.3"}
    assert term_of("loss", "loss", spec) == Huber(1.5)
    assert term_of("loss", "loss", parse_spec("loss", "huber:delta=auto")) == Huber("auto")
    assert term_of("loss", "loss", parse_spec("loss", "quantile:tau=0.9")) == Quantile(0.9)
    increasing = parse_spec("constraint", "increasing:column=dose")
    assert term_of("constraint", "constraint", increasing, {"time": 0, "dose": 1}) == Increasing(1)
    assert kernel_of("kernel", parse_spec("kernel", "matern52"), 3.0) == Matern52(3.0)
    assert kernel_of("kernel", parse_spec("kernel", "polynomial:degree=2"), 1.0) == Polynomial(1.0, degree=2)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("huber=2", r"^loss huber=2: give parameters after a colon, as in huber:parameter=2$"),
        ("huber:delta", r"^loss huber:delta: 'delta' is not of the form parameter=value$"),
        ("huber:delta=1,delta=2", r"delta is given twice"),
        ("huber:delta=much", r"^loss huber:delta=much: delta is 'much'; give a number$"),
        ("huber:tau=1", r"no parameter of huber 'tau'.*; there are delta"),
    ],
)
def test_faults_begin_with_what_the_word_was_given_as(word, sentence):
    with pytest.raises(InputError, match=sentence):
        term_of("loss", "loss", parse_spec("loss", word))
