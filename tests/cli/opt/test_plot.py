"""Figures of searches with infinite held-out scores: without its one row with counts, a fold has no maximum."""

import json

import numpy as np
import pytest

from hw4cli.opt import check, em_output, path, solve
from hw4opt import Result
from hw4opt.plotting import plot_fit, plot_heatmap, plot_scores

FORM = ["--design", "linear", "--intercept", "--loss", "poisson", "--plot", "f.png", "--json", "r.json", "--quiet"]
FREE, GIVEN = [*FORM, "--reg", "ridge"], [*FORM, "--reg", "ridge=1"]


@pytest.fixture
def rare(tmp_path):
    columns = np.random.default_rng(0).normal(size=(20, 2))
    (tmp_path / "rare.csv").write_text(
        "a,b,y\n" + "".join(f"{a},{b},{3 * (i == 7):d}\n" for i, (a, b) in enumerate(columns))
    )
    return "rare.csv"


@pytest.mark.parametrize("l1", ["l1", "l1=1"])
def test_nothing_is_chosen_where_no_score_is_finite(hw4opt, rare, tmp_path, l1):
    done = hw4opt("solve", rare, *FREE, "--reg", l1, "--search", "random:5")
    assert done.status == 2 and done.out == ""
    assert "has a finite held-out error; give the values instead, or leave out what has no penalty" in done.err
    assert not list(tmp_path.glob("[fr].*"))


def test_one_setting_is_fitted_though_its_score_is_infinite(hw4opt, rare, tmp_path):
    done = hw4opt("solve", rare, *GIVEN, "--select", "loo")
    assert done.status == 0 and "leave out what has no penalty" in done.err
    assert (tmp_path / "f.png").stat().st_size > 0
    assert [row["score"] for row in json.loads((tmp_path / "r.json").read_text())["selection"]["table"]] == [None]


@pytest.mark.parametrize("columns", [1, 2])
def test_a_row_of_weight_0_may_hold_any_target_and_is_not_drawn(hw4opt, tmp_path, columns):
    """The row is dropped before the problem is built, often because its target is invalid."""
    draw = np.random.default_rng(1)
    x, counts = draw.normal(size=(30, columns)), draw.poisson(3, size=30)
    names = ["a", "b"][:columns]

    def solved(target, *plot):
        rows = [",".join([*map(str, x[i]), str(target if i == 4 else counts[i]), str(int(i != 4))]) for i in range(30)]
        (tmp_path / "d.csv").write_text("\n".join([",".join([*names, "plays", "w"]), *rows]))
        terms = ["--loss", "poisson", "--gamma", "0.3", "--reg", "ridge", "--select", "kfold:5", "--search", "grid"]
        words = ["--y", "plays", "--weights", "w", *terms, "--grid", "ridge=0.01:1:5"]
        done = hw4opt("solve", "d.csv", *words, "--json", "-", "--save", "m.json", *plot, "--quiet")
        assert done.status == 0, done.err
        return done.json

    good = solved(3)
    for unused in (-999, 0.5, 1e300):
        odd = solved(unused, *(["--plot", "f.png"] if unused == 1e300 else []))
        assert (odd["objective"], odd["selection"]["score"]) == (good["objective"], good["selection"]["score"])
        axes = plot_fit(Result.load("m.json"))
        assert len(axes.collections[0].get_offsets()) == 29 and axes.get_ylim()[1] < 100
    assert (tmp_path / "f.png").stat().st_size > 0


COMMANDS = {
    "solve": (solve, "figure", ["--n", "30", "--select", "none", "--gamma", "30", "--reg", "ridge=1"]),
    "path": (path, "_figure", ["--n", "30", "--gamma", "30", "--vary", "ridge=0.1:1:2"]),
    "check": (check, "_figure", ["--n", "30", "--gamma", "30", "--reg", "ridge=1"]),
    "em": (em_output, "figure", ["--k", "1"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_json_is_kept_where_the_figure_fails(hw4opt, tmp_path, monkeypatch, name):
    def fails(*_):
        raise ValueError("no figure")

    module, function, words = COMMANDS[name]
    monkeypatch.setattr(module, function, fails)
    assert hw4opt(name, *words, "--plot", "f.png", "--json", "r.json", "--quiet").status == 1
    assert json.loads((tmp_path / "r.json").read_text())["status"] == "certified"


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_only_finite_scores_are_drawn(bad):
    table = [
        {"a": a, "b": b, "score": bad if a == 0.1 else a + b, "standard_error": bad if a == 0.1 else 0.1}
        for a in (0.1, 1.0, 10.0)
        for b in (1.0, 2.0)
    ]
    for axes, lowest in ((plot_heatmap(table, "a", "b"), "a = 1, b = 1"), (plot_scores(table[::2], "a"), "a = 1")):
        axes.figure.draw_without_rendering()
        assert axes.get_title(loc="left").endswith(f"at {lowest}")
    axes = plot_heatmap(table[:2], "b", "a")
    assert [text.get_text() for text in axes.texts] == ["no finite score"]


FIT = ["solve", "--gamma", "80", "--reg", "ridge=0.1", "--select", "none", "--quiet"]


def test_svg_and_pdf_hold_their_text_as_text(hw4opt, tmp_path):
    for name in ("f.svg", "f.pdf"):
        assert hw4opt(*FIT, "--plot", name).status == 0
    svg, pdf = (tmp_path / "f.svg").read_text(), (tmp_path / "f.pdf").read_bytes()
    assert ">gamma 80" in svg.replace("squared · ", ">") and ">largest residual<" in svg
    assert b"/Type3" not in pdf and b"/Type42" in pdf.replace(b"/CIDFontType2", b"/Type42")


@pytest.mark.slow
def test_a_style_of_the_user_is_drawn(hw4opt, tmp_path):
    (tmp_path / "mine.mplstyle").write_text("axes.facecolor: fdf6e3\nfont.family: serif\n")
    assert hw4opt(*FIT, "--plot", "plain.svg").status == 0
    assert hw4opt(*FIT, "--plot", "f.svg", "--style", "mine.mplstyle").status == 0
    plain, own = (tmp_path / "plain.svg").read_text(), (tmp_path / "f.svg").read_text()
    assert "#fdf6e3" in own and "#fdf6e3" not in plain and "serif" in own
    assert hw4opt("em", "--k", 1, "--plot", "m.svg", "--style", "mine.mplstyle", "--quiet").status == 0
    assert "#fdf6e3" in (tmp_path / "m.svg").read_text()


@pytest.mark.slow
def test_what_is_no_data_has_the_color_of_a_dark_style(hw4opt, tmp_path):
    """The truth and the notes, which are dark on a light ground."""
    (tmp_path / "dark.mplstyle").write_text("figure.facecolor: black\naxes.facecolor: black\ntext.color: fafafa\n")
    for words, name in ((FIT, "f.svg"), (("em", "--k", 1, "--quiet"), "m.svg")):
        assert hw4opt(*words, "--plot", name, "--style", "dark.mplstyle").status == 0
        assert "stroke: #fafafa" in (tmp_path / name).read_text(), name


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        (None, ["--plot", "f.png"], "cannot read --style s.mplstyle: No such file"),
        (b"axes.colour: red\n", ["--plot", "f.png"], "--style s.mplstyle is not a matplotlib style"),
        (b"axes.facecolor: nocolor\n", ["--plot", "f.png"], "--style s.mplstyle is not a matplotlib style"),
        (b"\xff\xfe", ["--plot", "f.png"], "is not UTF-8"),
        (b"font.size: 9\n", [], "--style s.mplstyle is for the figure of --plot"),
        (b"font.size: 9\n", ["--plot", "f.png", "--json", "s.mplstyle"], "would overwrite the style"),
    ],
)
def test_a_style_that_is_none_gets_a_sentence(hw4opt, tmp_path, content, words, said):
    if content is not None:
        (tmp_path / "s.mplstyle").write_bytes(content)
    done = hw4opt(*FIT, *words, "--style", "s.mplstyle")
    assert done.status == 2 and said in done.err and done.err.count("\n") == 1, done.err
    assert not (tmp_path / "f.png").exists()
