"""`hw4opt report`: one file, without another host, that says what is proven and what is not."""

import json
import re
import shlex

import numpy as np
import pytest

from report_parts import Parts, data_of

GIVEN = ["--gamma", "80", "--reg", "ridge=0.1"]


@pytest.fixture
def report(hw4opt, tmp_path):
    """Write a report with these words; its parts, what the command did, and the file's text."""

    def write(*words):
        done = hw4opt("report", *words, "--out", "r.html")
        text = (tmp_path / "r.html").read_text(encoding="utf-8")
        return Parts(text), done, text

    return write


def test_a_report_holds_what_was_asked_chosen_and_proven(report, hw4opt):
    parts, done, text = report("--loss", "huber", "--json", "r.json")
    assert done.status == 0 and not parts.open
    titles = ["Fit", "Answer", "Residuals", "What is proven", "How hyper-parameters were chosen"]
    assert parts.titles == [*titles, "To repeat it", "Made by"]
    solved = hw4opt("solve", "--loss", "huber", "--json", "-", "--quiet").json
    for part in (f"{solved['objective']:.10g}", "certified", solved["data_sha256"], "25 ←", "leave-one-out"):
        assert part in parts.text, part
    drawn = data_of(text)
    np.testing.assert_allclose(drawn["figures"][0]["view"]["fitted"], solved["fitted"], rtol=1e-6)
    assert len(drawn["rows"]) == len(solved["selection"]["table"])


def test_the_commands_of_a_report_repeat_its_fit(report, hw4opt, dose, tmp_path):
    """They are run as they stand."""
    words = ["dose.csv", "--x", "dose", "--y", "response", "--weights", "weight", "--loss", "huber:delta=auto"]
    words += ["--reg", "trend:order=1", "--constraint", "increasing", "--select", "kfold:4", "--search", "random:6"]
    parts, done, _ = report(*words, "--json", "r.json")
    assert done.status == 0, done.err
    expected = json.loads((tmp_path / "r.json").read_text())["objective"]
    line = next(line for line in parts.text.splitlines() if line.startswith("hw4opt solve "))
    assert "--gamma" in line and "--select none" in line
    done = hw4opt(*shlex.split(line)[1:], "--json", "-", "--quiet")
    assert done.status == 0 and done.json["objective"] == pytest.approx(expected, rel=1e-9)
    script = parts.text[parts.text.index("from hw4opt import") : parts.text.index("print(result.objective)")]
    found = {}
    exec(script, found)
    assert found["result"].objective == pytest.approx(expected, rel=1e-9)


def test_dropped_rows_are_repeated_by_the_command_alone(report, dose, tmp_path):
    text = dose.read_text().splitlines()
    (tmp_path / "gap.csv").write_text("\n".join([*text, "s,,1,1,a,2"]) + "\n")
    words = ["--x", "dose", "--y", "response", *GIVEN, "--missing", "drop"]
    (gap, gap_done, _), (whole, whole_done, _) = (report(name, *words) for name in ("gap.csv", "dose.csv"))
    assert gap_done.status == whole_done.status == 0 and "--missing drop" in gap.text
    assert "from hw4opt import" in whole.text and "from hw4opt import" not in gap.text


def test_a_report_names_no_other_file_and_is_small(report):
    parts, _, text = report("--n", "1000", "--loss", "huber", *GIVEN, "--select", "none")
    assert all(one.startswith("data:") for one in parts.references), parts.references
    assert {*re.findall(r"https?://([^/\"']+)", text)} == {"www.w3.org"}, "names of XML, which nobody asks for"
    assert "connect-src 'none'" in text and len(text.encode()) < 500_000


def test_an_answer_without_proof_is_said_on_top(report):
    words = ["--loss", "huber", *GIVEN, "--reg", "tv=1", "--solver", "admm", "--max-iterations", "1", "--tol", "1e-30"]
    parts, done, _ = report(*words, "--select", "none")
    assert done.status == 1
    assert parts.text.index("✗ iteration limit") < parts.text.index("What is proven")


def test_texts_of_the_user_are_shown_and_not_run(report, tmp_path):
    name = "<script>alert(1)</script>&\"'"
    rows = "\n".join(f"{k},{k % 3}" for k in range(12))
    quoted = name.replace('"', '""')
    (tmp_path / "odd.csv").write_text(f'"{quoted}",y\n{rows}\n')
    parts, done, text = report("odd.csv", *GIVEN, "--select", "none")
    assert done.status == 0 and name in parts.text
    assert "<script>alert" not in text and data_of(text)["figures"][0]["data"]["xName"] == name


def test_several_x_are_shown_by_observed_over_fitted(report, dose):
    parts, done, text = report("dose.csv", "--x", "dose,age", "--y", "response", *GIVEN, "--select", "none")
    assert done.status == 0 and data_of(text)["figures"][0]["data"]["xName"] == "fitted response"
    assert "np.column_stack" in parts.text


@pytest.fixture
def sites(tmp_path):
    """Depth, age and site in a file of the folder where commands run."""
    rng = np.random.default_rng(0)
    depth, age, site = rng.uniform(0, 10, 60), rng.uniform(20, 60, 60), rng.choice(["north", "south", "west"], 60)
    y = 5 * np.log1p(depth) - ((age - 40) / 20) ** 2 + 2 * (site == "south") + rng.normal(0, 0.3, 60)
    rows = "\n".join(",".join(map(str, row)) for row in zip(depth, age, site, y, strict=True))
    (tmp_path / "sites.csv").write_text(f"depth,age,site,y\n{rows}\n")
    return "sites.csv"


SUM = ["--additive", "--component", "site=site:categorical", "--gamma", "depth=0.3,age=0.01", "--reg", "ridge=0.1"]
SUM += ["--reg", "depth.tv=0.3", "--reg", "site.ridge=0.2", "--constraint", "depth.increasing", "--select", "none"]


def test_every_component_of_a_sum_is_shown_and_what_repeats_it_does(report, hw4opt, sites):
    parts, done, text = report(sites, *SUM, "--json", "r.json")
    assert done.status == 0, done.err
    figures = {one["place"]: one for one in data_of(text)["figures"]}
    solved = hw4opt("solve", sites, *SUM, "--json", "-", "--quiet").json
    for k, one in enumerate(solved["components"]):
        drawn = figures[f"part-{k}"]
        np.testing.assert_allclose(drawn["view"]["fitted"], one["fitted"], rtol=1e-5, atol=1e-6)
        assert drawn["title"].startswith(one["name"])
    assert figures["part-0"]["view"]["ticks"] == ["north", "south", "west"]
    line = next(line for line in parts.text.splitlines() if line.startswith("hw4opt solve "))
    again = hw4opt(*shlex.split(line)[1:], "--json", "-", "--quiet")
    assert again.json["objective"] == pytest.approx(solved["objective"], rel=1e-9)
    found = {}
    exec(parts.text[parts.text.index("import numpy as np") : parts.text.index("print(result.objective)")], found)
    assert found["result"].objective == pytest.approx(solved["objective"], rel=1e-9)


def test_the_bound_of_predictions_is_said_once_with_what_it_leaves_out(report, sites):
    parts, _, _ = report(sites, *SUM)
    assert "exact optimum's (the bound covers the fit without its unpenalised intercept): further digits" in parts.text
    assert "No bound on predictions" not in parts.text


def test_the_figure_of_a_component_names_the_level_of_its_points(report, sites):
    _, _, text = report(sites, "--loss", "quantile:tau=0.1;0.9", *SUM)
    assert data_of(text)["figures"][-1]["data"]["yName"] == "part of y, points of level 0.9"


def test_every_level_is_shown(report, hw4opt):
    words = ["--loss", "quantile:tau=0.1;0.5;0.9", *GIVEN, "--select", "none"]
    parts, done, text = report(*words)
    view = data_of(text)["figures"][0]["view"]
    assert done.status == 0 and view["levels"] == [0.1, 0.5, 0.9] and "Residuals of level 0.5" in parts.titles
    fitted = np.array(hw4opt("solve", *words, "--json", "-", "--quiet").json["fitted"])
    np.testing.assert_allclose(view["fitted"], fitted[:, 1], rtol=1e-5, atol=1e-5)
    assert np.all(np.diff(np.array(view["level_curves"]), axis=0)[:, ::50] > -0.5) and len(view["level_curves"]) == 3


def test_solvers_are_compared_where_that_is_asked(report):
    parts, done, _ = report(*GIVEN, "--select", "none", "--check")
    assert done.status == 0 and "Solvers compared" in parts.titles and "agree within their gaps" in parts.text


@pytest.mark.parametrize("words", [["--loss", "hubert"], ["missing.csv"], ["--out", "no/such/folder.html"]])
def test_a_wrong_word_leaves_no_file(hw4opt, tmp_path, words):
    done = hw4opt("report", *words)
    assert done.status == 2 and done.out == "" and not list(tmp_path.iterdir())


def test_a_report_is_no_input(hw4opt, dose):
    before = dose.read_text()
    assert hw4opt("report", "dose.csv", "--out", "dose.csv").status == 2 and dose.read_text() == before
