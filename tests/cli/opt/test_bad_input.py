"""Bad input: exit 2, one sentence that names what is wrong, nothing on stdout, no file made or changed."""

import os
import sys

import pytest

GOOD = "x,y\n" + "".join(f"{i / 20},{i % 5}\n" for i in range(20))


def cell(row: int, column: int, text: str) -> str:
    lines = [line.split(",") for line in GOOD.splitlines()]
    lines[row][column] = text
    return "\n".join(map(",".join, lines)) + "\n"


def with_weights(*weights: object) -> str:
    lines = GOOD.splitlines()
    return (
        "\n".join([lines[0] + ",w", *(f"{line},{weights[i % len(weights)]}" for i, line in enumerate(lines[1:]))])
        + "\n"
    )


def with_groups(*groups: str) -> str:
    lines = GOOD.splitlines()
    return (
        "\n".join([lines[0] + ",g", *(f"{line},{groups[i % len(groups)]}" for i, line in enumerate(lines[1:]))]) + "\n"
    )


def scaled(x: float, y: float) -> str:
    return "x,y\n" + "".join(f"{i / 20 * x!r},{i % 5 * y!r}\n" for i in range(20))


SETTLED = ["--gamma", "3", "--reg", "ridge=1", "--select", "none"]


@pytest.fixture
def refused(hw4opt, tmp_path):
    """Call with outputs that exist already; check what must hold of every refusal; give the sentence."""
    outputs = {"--json": "old.json", "--plot": "old.png", "--save": "old.model"}

    def call(*words):
        for name in outputs.values():
            (tmp_path / name).write_text("old")
        before = sorted(path.name for path in tmp_path.iterdir())
        done = hw4opt(*words, *(word for pair in outputs.items() if pair[0] not in words for word in pair))
        assert done.status == 2 and done.out == "", done
        assert done.err.startswith("hw4opt: ") and done.err.count("\n") == 1, done.err
        assert "should not happen" not in done.err
        assert {(tmp_path / name).read_text() for name in outputs.values()} == {"old"}
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        return done.err

    return call


FILES = [
    ("", [], "d.csv is empty"),
    ("x,y\n", [], "no rows"),
    ("x,y\n1,2\n3\n", [], "row 2"),
    (b"\x7fELF\0\0", [], "binary"),
    ("x,y,x\n1,2,3\n", [], "'x' twice"),
    ("dose,response\n1,2\n", [], "no column 'y', the default target; name yours by --y: dose, response"),
    (GOOD, ["--y", "yy"], "no column 'yy' (did you mean 'y'?); there are x, y"),
    (GOOD, ["--x", "xs"], "no column 'xs' (did you mean 'x'?)"),
    (GOOD, ["--x", "x,x"], "'x' twice"),
    (GOOD, ["--x", "x,y"], "'y' is both x and y"),
    (GOOD, ["--weights", "w"], "no column 'w'"),
    (GOOD, ["--groups", "g"], "no column 'g'"),
    (cell(17, 0, "n/a"), [], "column 'x' holds text ('n/a') in row 17"),
    (cell(17, 0, "nan"), [], "column 'x' holds nan in row 17"),
    (cell(17, 1, "inf"), [], "column 'y' holds inf in row 17"),
    (cell(3, 1, ""), [], "column 'y' is empty in row 3"),
    ("x,y\n1,2\n", [], "one row"),
    ("x,y\n1,2\n1,3\n1,4\n", [], "column 'x' is constant"),
    ("name,y\na,2\nb,3\n", [], "no numeric column besides y"),
    (with_weights(1, -2), ["--weights", "w"], "column 'w' holds the weight -2 in row 2"),
    (with_weights(0), ["--weights", "w"], "every weight in column 'w' is 0"),
    (with_weights(1, "x"), ["--weights", "w"], "column 'w' holds text ('x') in row 2"),
    (GOOD, ["--loss", "logistic"], "logistic needs labels 0 and 1, or -1 and 1"),
    (GOOD, ["--select", "kfold:21"], "there are 20 rows; K must lie between 2 and 20"),
    (GOOD, ["--n", "50"], "--n 50"),
    (GOOD, ["--json", "d.csv"], "--json d.csv would overwrite the data"),
    (
        with_groups("a"),
        ["--groups", "g"],
        "--groups g: there is one group only; its rows are left out together, so at least two",
    ),
    (with_groups("a"), ["--groups", "g", "--select", "kfold:10"], "--groups g: there is one group only"),
    (
        with_groups("a", "b"),
        ["--groups", "g", "--select", "kfold:3"],
        "column 'g' has 2 groups; K must lie between 2 and 2",
    ),
    (
        with_groups("a", "b"),
        ["--groups", "g", "--select", "loo"],
        "--groups g keeps rows together and --select loo holds out one at a time",
    ),
    (
        with_groups("a", "b"),
        ["--groups", "g", "--x", "x", *SETTLED],
        "--groups g is for held-out rows and --select none holds none out",
    ),
    (
        scaled(1e-160, 1),
        [],
        "column 'x' has a spread of 9.5e-161, whose square is beyond floating point; measure it in another unit",
    ),
    (scaled(1e160, 1), ["--scale", "standard"], "column 'x' has a spread of 9.5e+159"),
    (scaled(1, 1e-160), ["--design", "linear", "--reg", "ridge"], "column 'y' has a spread of 4e-160"),
    (scaled(1, 1e300), [], "column 'y' has a spread of 4e+300"),
]


@pytest.mark.parametrize(("content", "words", "said"), FILES)
def test_data(refused, tmp_path, content, words, said):
    (tmp_path / "d.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert said in refused("solve", "d.csv", *words)


WORDS = [
    (["nosuch.csv"], "no file nosuch.csv"),
    (["."], "holds no file that ends in .csv, .parquet, .pq"),
    (["--gamma", "0"], "gamma is 0.0; it must be a number above 0"),
    (["--gamma", "-1"], "gamma is -1.0"),
    (["--gamma", "nan"], "gamma is nan"),
    (["--gamma", "two"], "'two': give a number, one per column"),
    (["--loss", "hubert"], "no loss 'hubert' (did you mean 'huber'?); there are absolute, epsilon_insensitive, huber"),
    (["--loss", "poissonn"], "no loss 'poissonn'"),
    (["--loss", "huber:dleta=1"], "no parameter of huber 'dleta' (did you mean 'delta'?)"),
    (["--loss", "huber:delta"], "'delta' is not of the form parameter=value"),
    (["--loss", "huber:delta=one"], "delta is 'one'; give a number"),
    (["--loss", "huber:delta=1,delta=2"], "delta is given twice"),
    (["--loss", "huber=1"], "after a colon"),
    (["--loss", "huber:delta=-1"], "huber: delta is -1.0; it must be a number above 0"),
    (["--loss", "quantile:tau=1.5"], "quantile: tau is 1.5"),
    (["--reg", "tvv"], "no regularizer 'tvv' (did you mean 'tv'?); there are l1, ridge, trend, tv"),
    (["--reg", "tv=-1"], "tv: weight is -1.0"),
    (["--reg", "tv=nan"], "tv: weight is nan"),
    (["--reg", "tv=a"], "weight is 'a'; give a number"),
    (["--reg", "tv=1", "--reg", "tv=2"], "tv is given twice"),
    (["--reg", "trend:order=9,weight=1"], "order is 9.0"),
    (
        ["--reg", "l1=1", "--gamma", "3", "--reg", "ridge=1", "--select", "none"],
        "l1 acts on coefficients and needs a linear design",
    ),
    (["--constraint", "rising"], "no constraint 'rising'"),
    (["--constraint", "increasing:everywhere=9..1"], "low must be below high"),
    (
        ["--constraint", "increasing:everywhere=1"],
        "give everywhere, or a range as in everywhere=0..120",
    ),
    (["--constraint", "increasing:everywhere", "--kernel", "laplacian"], "it can for matern32"),
    (["--constraint", "increasing:everywhere", "--design", "linear"], "drop everywhere"),
    (
        ["--constraint", "coef_bounds:lower=0,everywhere", "--design", "linear"],
        "no parameter of coef_bounds",
    ),
    (["--constraint", "increasing:column=dose"], "no x column 'dose'"),
    (["--constraint", "bounds"], "bounds needs lower, upper or both"),
    (["--constraint", "bounds:lower=5,upper=1"], "lower = 5 and upper = 1 conflict"),
    (
        ["--constraint", "bounds:lower=5", "--constraint", "bounds:upper=1"],
        "bounds:lower=5 and bounds:upper=1 conflict",
    ),
    (["--constraint", "bounds:lower=5", "--constraint", "bounds:upper=9"], "bounds is given twice"),
    (
        ["--constraint", "nonnegative", "--constraint", "bounds:upper=-1"],
        "nonnegative asks for f ≥ 0 and bounds for f ≤ -1",
    ),
    (
        ["--kernel", "rfb"],
        "no kernel 'rfb' (did you mean 'rbf'?); there are laplacian, matern32, matern52, polynomial, rbf",
    ),
    (["--kernel", "precomputed"], "Python"),
    (["--kernel", "polynomial:degree=0"], "degree is 0.0"),
    (["--kernel", "rbf:gamma=3"], "--gamma 3"),
    (["--design", "linear", "--gamma", "3"], "--gamma 3.0 belongs to a kernel design"),
    (["--design", "lineal"], "'lineal' is not one of 'kernel', 'linear'"),
    (["--solver", "interiour"], "no solver 'interiour' (did you mean 'interior'?); there are admm, auto, cvxpy"),
    (["--solver", "cvxpy:NOSUCH"], "NOSUCH"),
    (["--tol", "2"], "--tol"),
    (["--max-iterations", "0"], "--max-iterations"),
    (["--n", "24"], "n is 24"),
    (["--seed", "-1"], "--seed"),
    (["--select", "none"], "gamma and ridge are not given; give --gamma G --reg ridge=WEIGHT"),
    (["--select", "none", "--gamma", "3", "--reg", "ridge=1", "--reg", "tv"], "tv is not given; give --reg tv=WEIGHT"),
    (["--select", "kfold:1"], "K must be 2 or more"),
    (["--select", "kfold:" + "9" * 300], "there are auto, loo, loo:x, kfold:K"),
    (["--search", "random:" + "9" * 300], "there are zoom, grid and random:N"),
    (["--grid", "ridge=1:2:" + "9" * 300], "with 0 < LOW < HIGH and COUNT ≥ 2"),
    (["--n", "9" * 300], "--n"),
    (["--n", "9" * 5000], "--n '9999999999999999999999999999999999999999…' holds a number of 5000 digits"),
    (["--select", "kfold:51"], "K must lie between 2 and 50"),
    (["--select", "kfold"], "there are auto, loo, loo:x, kfold:K"),
    (["--search", "random:0"], "random:N"),
    (["--search", "random:99999999999"], "99,999,999,999 settings; a search takes 20,000 at most"),
    (["--solver", "interior:CLARABEL"], "solver 'interior:CLARABEL': only cvxpy and qp take a name after a colon"),
    (["--search", "fine"], "zoom, grid and random:N"),
    (["--grid", "gamma=1:2"], "NAME=LOW:HIGH:COUNT"),
    (["--grid", "gamma=2:1:5"], "0 < LOW < HIGH"),
    (["--grid", "gama=1:2:5"], "no hyper-parameter 'gama' (did you mean 'gamma'?)"),
    (["--grid", "gamma=1:2:5", "--gamma", "3"], "gamma is given a value, too"),
    (
        ["--loss", "huber", "--grid", "delta=0.1:1:3"],
        "--metric loss rewards a shrinking loss while huber.delta is searched",
    ),
    (
        ["--loss", "huber:delta=2", "--grid", "delta=0.1:1:3", "--metric", "absolute"],
        "huber.delta is given a value, too",
    ),
    (["--metric", "l2"], "'l2' is not one of"),
    (["--json", "no/such/folder.json"], "the folder no/such does not exist"),
    (["--json", "."], "is a folder"),
    (["--plot", "fit.docx"], "a figure's name ends in .png"),
    (["--plot", "no/fit.png"], "the folder no does not exist"),
    (["--save", "no/model"], "the folder no does not exist"),
    (["--save", "a.json", "--json", "a.json"], "--save a.json would overwrite --json a.json"),
    (["--save", "/dev/null"], "not a regular file"),
    (["--nosuch"], "No such option '--nosuch'"),
    (["a.csv", "b.csv"], "no file is named a.csv"),
]


IDLE = [
    (
        ["--search", "zoom", *SETTLED],
        "--search zoom is for choosing and --select none chooses nothing; drop one of them",
    ),
    (["--metric", "loss", *SETTLED], "--metric loss is for choosing"),
    (["--folds", "shuffled", *SETTLED], "--folds shuffled is for choosing"),
    (["--search-seed", "0", *SETTLED], "--search-seed 0 is for choosing"),
    (["--one-se", *SETTLED], "--one-se is for choosing"),
    (["--workers", "1", *SETTLED], "--workers 1 is for choosing"),
    (
        ["--search", "grid", *SETTLED[:4]],
        "--search grid is for choosing and every hyper-parameter is given; drop it, or give a --grid",
    ),
    (["--one-se", *SETTLED[:4]], "--one-se is for choosing and every hyper-parameter is given"),
    (
        ["--folds", "contiguous", "--select", "loo"],
        "--folds contiguous: with --select loo every row is a fold of its own",
    ),
    (
        ["--search-seed", "3", "--select", "loo"],
        "--search-seed 3: nothing is drawn with the given --select, --folds and --search",
    ),
    (["--search-seed", "3", "--select", "kfold:5", "--folds", "contiguous"], "--search-seed 3: nothing is drawn"),
    (["--separated", "drop"], "--separated drop belongs to counts; drop it, or give --loss poisson"),
    (["--separated", "refuse", "--loss", "huber"], "--separated refuse belongs to counts"),
]


@pytest.mark.parametrize(("words", "said"), IDLE)
def test_an_option_that_would_be_ignored(refused, words, said):
    assert said in refused("solve", *words)


@pytest.mark.parametrize(
    "words",
    [
        ["--groups", "g", *SETTLED],  # which then is no feature
        ["--search-seed", "3", "--select", "loo", "--search", "random:2"],
        ["--search-seed", "3", "--select", "kfold:5", *SETTLED[:4]],
        ["--one-se", "--grid", "ridge=0.1:1:2", "--search", "grid", *SETTLED[:2]],
        ["--seed", "3", *SETTLED],
    ],
)
def test_an_option_that_says_something(hw4opt, tmp_path, words):
    (tmp_path / "d.csv").write_text(with_groups("1", "2"))
    assert hw4opt("solve", "d.csv", *words).status == 0


@pytest.mark.parametrize(("words", "said"), WORDS)
def test_words(refused, words, said):
    assert said in refused("solve", *words)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(refused, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "permission denied" in refused("solve", "--json", "closed/a.json")


def test_a_place_that_takes_no_file(refused):
    if not os.path.isdir("/proc/self"):
        pytest.skip("there is no /proc")
    assert "cannot write /proc/a.json" in refused("solve", "--json", "/proc/a.json")


def test_parquet_without_its_reader(refused, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "d.parquet").write_bytes(b"PAR1")
    assert "hw4opt[parquet]" in refused("solve", "d.parquet")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["slove"],
            "no command 'slove' (did you mean 'solve'?); there are check, em, explore, path, predict, report, "
            "reproduce, solve",
        ),
        ([], "give a command: solve, check, "),
        (["--nosuch"], "No such option"),
        (["path"], "Missing option '--vary'"),
        (["path", "--vary", "ridge"], "--vary ridge: give NAME=LOW:HIGH:COUNT"),
        (["path", "--vary", "ride=1:2:3"], "no hyper-parameter 'ride' (did you mean 'ridge'?)"),
        (["path", "--vary", "gamma=1:2:3", "--gamma", "2"], "gamma is given a value, too"),
        (["path", "--vary", "ridge=1:2:3", "--select", "none"], "gamma is not given; give --gamma G"),
        (
            ["path", "--vary", "ridge=1:2:3", "--grid", "ridge=1:3:2"],
            "--grid ridge and --vary ridge give two ranges of one hyper-parameter",
        ),
        (
            ["path", "--vary", "ridge=1:2:3", "--gamma", "2", "--one-se"],
            "--one-se is for choosing and every hyper-parameter is given",
        ),
        (
            ["path", "--vary", "ridge=1:2:3", "--gamma", "2", "--select", "none", "--save", "m"],
            "--save m writes the model of lowest",
        ),
        (["check", *SETTLED, "--workers", "2"], "--workers 2 is for choosing"),
        (["check", *SETTLED, "--solver", "admm", "--solver", "admm"], "--solver admm and --solver admm are one solver"),
        (
            ["check", *SETTLED, "--solver", "cvxpy", "--solver", "cvxpy:clarabel"],
            "--solver cvxpy and --solver cvxpy:clarabel are one solver",
        ),
        (["check", *SETTLED, "--solver", "auto"], "--solver auto picks one of the others"),
        (["check", "--solver", "nosuch"], "no solver 'nosuch'"),
        (["check", "--select", "none"], "gamma and ridge are not given"),
        (["predict"], "Missing argument 'MODEL'"),
        (["predict", "model.json", "d.csv"], "Missing option '--out'"),
        (["predict", "nosuch.json", "d.csv", "--out", "p.csv"], "cannot read the model file nosuch.json"),
    ],
)
def test_other_commands(hw4opt, words, said):
    done = hw4opt(*words)
    assert done.status == 2 and done.out == "" and said in done.err
    assert done.err.startswith("hw4opt: ") and done.err.count("\n") == 1
