"""The page and a report in headless Chromium, as a user would use them.

Skipped where there is no Chromium or no playwright (extra `browser`), unless HW4OPT_BROWSER=required, as in `.ci/run`.
"""

import os
import re
import shlex
import shutil
import time
from urllib.parse import urlsplit

import numpy as np
import pytest

from hw4opt import (
    RBF,
    Additive,
    Categorical,
    Component,
    Huber,
    Increasing,
    Problem,
    Quantile,
    Ridge,
    TotalVariation,
    fit,
)
from hw4opt.datasets import step_data

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
REQUIRED = os.environ.get("HW4OPT_BROWSER") == "required"
GIVEN = ["--gamma", "80", "--reg", "ridge=0.1"]
SECONDS = 30.0  # that a condition may take on a busy machine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chromium():
    """One browser for the module."""
    if not REQUIRED:
        if CHROMIUM is None:
            pytest.skip("there is no Chromium")
        pytest.importorskip("playwright", reason="playwright is not installed: it comes with the extra `browser`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


class Tab:
    """A tab that fails on script errors, and waits by polling (the page forbids eval)."""

    def __init__(self, browser, url, **options):
        self.errors = []
        self.page = browser.new_context(accept_downloads=True, **options).new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("request", lambda asked: self.requests.append(asked.url))
        self.requests = []
        self.page.goto(url)

    def js(self, code):
        return self.page.evaluate(code)

    def until(self, condition):
        deadline = time.monotonic() + SECONDS
        while not self.js(f"Boolean({condition})"):
            assert time.monotonic() < deadline, (condition, self.errors)
            self.page.wait_for_timeout(20)

    def settle(self):
        """Wait until the fit shown is that of the state shown."""
        self.until("window.hw4opt && hw4opt.app.fit && hw4opt.app.waiting === null && !hw4opt.app.dirty")

    def objective(self):
        self.settle()
        return self.js("hw4opt.app.fit.objective")

    def point(self, row):
        box = self.page.locator(f"circle[data-row='{row}']").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.fixture
def tab(chromium, served):
    """A tab on a server of its own, with these words."""
    tabs = []

    def open_tab(*words, url=None, **options):
        tabs.append(Tab(chromium, served(*words).url if url is None else url, **options))
        return tabs[-1]

    yield open_tab
    for one in tabs:
        one.page.context.close()


def write_sites(path):
    """Depth, age, site and y, in a file."""
    rng = np.random.default_rng(3)
    depth, age, site = rng.uniform(0, 9, 40), rng.uniform(20, 60, 40), rng.choice(["north", "south"], 40)
    y = 3 * np.log1p(depth) - ((age - 40) / 20) ** 2 + 2 * (site == "south") + rng.normal(0, 0.3, 40)
    rows = "\n".join(",".join(map(str, row)) for row in zip(depth, age, site, y, strict=True))
    path.write_text(f"depth,age,site,y\n{rows}\n")
    return depth, age, site, y


def data_in(tab):
    tab.settle()
    return np.array(tab.js("hw4opt.app.data.columns.x")), np.array(tab.js("hw4opt.app.data.columns.y"))


def test_a_slider_changes_the_curve_and_the_number_is_that_of_fit(tab):
    page = tab(*GIVEN)
    page.settle()
    before = page.page.locator("path.curve").get_attribute("d")
    slider = page.page.locator("input[name='gamma-slider']")
    slider.focus()
    for _ in range(5):
        page.page.keyboard.press("ArrowRight")
    gamma = float(page.page.locator("input[name='gamma']").input_value())
    assert (
        gamma > 80 and page.objective() == fit(Problem(*step_data(50, 0)[:2], RBF(gamma), None, [Ridge(0.1)])).objective
    )
    assert page.page.locator("path.curve").get_attribute("d") != before
    assert page.errors == [] and {urlsplit(url).hostname for url in page.requests} == {"127.0.0.1"}


def test_a_dragged_point_is_followed_and_comes_back(tab):
    page = tab(*GIVEN)
    before = page.objective()
    x, y = page.point(24)
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    for step in range(1, 40):
        page.page.mouse.move(x, y - 4 * step)
    page.page.mouse.up()
    moved_x, moved_y = data_in(page)
    assert moved_y[24] > 10 and np.delete(moved_y, 24) == pytest.approx(np.delete(step_data(50, 0).y, 24), abs=0)
    assert page.objective() == fit(Problem(moved_x, moved_y, RBF(80), None, [Ridge(0.1)])).objective < before
    page.page.keyboard.press("Control+z")
    page.until("hw4opt.app.data.columns.y[24] === 0")
    assert page.objective() == before and page.errors == []


def test_the_keyboard_alone_moves_removes_and_adds_points(tab):
    page = tab(*GIVEN)
    page.settle()
    page.page.locator("circle[tabindex='0']").focus()
    assert page.js("document.activeElement.dataset.row") == "24", "the outlier comes first"
    page.page.keyboard.press("Shift+ArrowUp")
    page.until("hw4opt.app.data.columns.y[24] > 0")
    page.settle()
    assert page.js("document.activeElement.dataset.row") == "24", "the focus stays"
    assert "row 25" in page.js("document.activeElement.getAttribute('aria-label')")
    page.page.keyboard.press("PageDown")
    assert page.js("document.activeElement.dataset.row") == "25"
    page.page.keyboard.press("Delete")
    page.until("hw4opt.app.data.columns.x.length === 49")
    page.page.locator("#add").press("Enter")
    page.until("hw4opt.app.data.columns.x.length === 50")
    x, y = data_in(page)
    assert page.objective() == fit(Problem(x, y, RBF(80), None, [Ridge(0.1)])).objective


def test_every_visible_button_works_while_a_fit_is_on_its_way(tab):
    """Rows were removed, and no fit of those that are left has come: there is no curve then."""
    page = tab(*GIVEN)
    page.settle()
    visible = "[...document.querySelectorAll('button[id]')].filter((one) => one.checkVisibility())"
    buttons = page.js(f"{visible}.map(({{ id }}) => id)")
    assert {"add", "remove", "pin", "undo", "choose"} <= set(buttons)
    for button in buttons:
        page.settle()
        page.js(f"""() => {{
            const point = document.querySelector("circle[data-row='3']");
            point.focus();
            point.dispatchEvent(new KeyboardEvent("keydown", {{ key: "Delete", bubbles: true }}));
            if (hw4opt.app.view !== null) throw new Error("the fit is already there");
            document.getElementById("{button}").click();
        }}""")
    page.settle()
    assert page.errors == []


def test_a_point_is_added_before_the_fit_has_come(tab):
    page = tab(*GIVEN)
    page.settle()
    page.page.locator("circle[data-row='3']").focus()
    page.js("""() => {
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "Delete", bubbles: true }));
        document.getElementById("add").click();
    }""")
    x, y = data_in(page)
    assert len(x) == 50 and x[49] == pytest.approx((x[:49].min() + x[:49].max()) / 2, abs=1e-6)
    assert y[49] == y[np.abs(x[:49] - x[49]).argmin()] and page.errors == []
    assert page.objective() == fit(Problem(x, y, RBF(80), None, [Ridge(0.1)])).objective


def test_a_shape_is_asked_for_at_every_x(tab):
    page = tab(*GIVEN, "--constraint", "convex:everywhere=0..2")
    page.settle()
    assert page.page.get_by_label("at every x of 0 … 2").is_checked(), "what the command line gave"
    page.page.locator("input[name='convex']").uncheck()
    page.page.locator("input[name='increasing']").check()
    page.page.locator("input[name='increasing everywhere']").check()
    page.until("hw4opt.app.fit.command.includes('--constraint increasing:everywhere')")
    expected = fit(Problem(*step_data(50, 0)[:2], RBF(80), None, [Ridge(0.1)], [Increasing(everywhere=True)]))
    assert page.objective() == expected.objective
    assert "increasing on [0, 1]: proven" in page.page.locator("#numbers").inner_text() and page.errors == []


def test_loss_and_penalties_are_switched(tab):
    page = tab(*GIVEN)
    page.settle()
    page.page.select_option("select[aria-label='Loss']", "huber")
    page.until("hw4opt.app.fit?.command.includes('huber')")
    problem = Problem(*step_data(50, 0)[:2], RBF(80), Huber(1), [Ridge(0.1)])
    assert page.objective() == fit(problem).objective
    page.page.locator("input[name='tv']").check()
    page.page.locator("input[name='increasing']").check()
    page.until("/--reg tv=.*--constraint increasing/.test(hw4opt.app.fit?.command)")
    page.settle()
    assert page.page.locator("#verdict").inner_text().startswith("✓ certified")


def test_a_fit_redraws_only_what_it_changed(tab):
    """While a point is dragged, the others, the truth and the script are not redrawn: painting takes most of the
    time."""
    page = tab(*GIVEN)
    page.settle()
    page.page.locator("circle[data-row='24']").focus()
    page.page.keyboard.press("ArrowUp")  # from now on the data are edited.csv
    page.until("hw4opt.app.fit?.command.includes('edited.csv')")
    x, y = page.point(24)
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x, y - 4)
    page.settle()
    page.js("""() => {
        window.seen = [];
        const watch = new MutationObserver((all) => window.seen.push(...all.map(({ target }) =>
            target.dataset?.row ?? target.getAttribute?.("class") ?? target.parentElement?.id)));
        const kinds = { subtree: true, attributes: true, childList: true, characterData: true };
        watch.observe(document.querySelector("svg.figure"), kinds);
        watch.observe(document.getElementById("python"), kinds);
    }""")
    for step in range(2, 12):
        page.page.mouse.move(x, y - 4 * step)
    page.settle()
    seen = set(page.js("window.seen"))
    page.page.mouse.up()
    assert {"24", "curve", "stem"} <= seen
    assert not seen & {"3", "40", "truth", "cloud", "tick", "python"}, seen


def test_what_is_being_typed_stays_when_ranges_of_sliders_change(tab):
    page = tab(*GIVEN)
    page.settle()
    page.page.select_option("select[aria-label='Loss']", "absolute")
    field = page.page.locator("input[name='ridge']")
    field.fill("0.12")
    page.until("hw4opt.app.fit?.command.includes('absolute') && hw4opt.app.beside?.id === hw4opt.app.fit.id")
    assert field.input_value() == "0.12" and page.js("document.activeElement.name") == "ridge"
    page.page.keyboard.press("Tab")
    page.until("hw4opt.app.fit?.command.includes('ridge=0.12')")


def test_levels_are_typed_and_drawn(tab):
    page = tab(*GIVEN)
    page.settle()
    page.page.select_option("select[aria-label='Loss']", "quantile")
    page.page.get_by_label("tau", exact=True).fill("0.1, 0.5 0.9")
    page.page.keyboard.press("Tab")
    page.until("hw4opt.app.fit?.command.includes('tau=0.1;0.5;0.9')")
    exact = fit(Problem(*step_data(50, 0)[:2], RBF(80), Quantile((0.1, 0.5, 0.9)), [Ridge(0.1)]))
    assert page.objective() == exact.objective
    assert page.page.locator("path.level").count() == 3 and page.page.locator("path.band").get_attribute("d")
    assert "levels 0.1 to 0.9" in page.page.locator(".legend").text_content()
    assert page.page.locator("#bands").is_disabled() and page.errors == []


def test_components_of_a_sum_are_shown_one_at_a_time(tab, tmp_path):
    _, age, site, y = write_sites(tmp_path / "sites.csv")
    words = ["--additive", "--component", "site=site:categorical", "--gamma", "depth=0.3,age=0.01"]
    page = tab(str(tmp_path / "sites.csv"), *words, "--reg", "ridge=0.1", "--reg", "site.ridge=0.2")
    page.settle()

    def exact(terms):
        columns = page.js("hw4opt.app.data.columns")
        x = np.column_stack([columns["depth"], age, np.unique(site, return_inverse=True)[1]])
        parts = [Component("site", [2], Categorical(), 0.2), Component("depth", [0], RBF(0.3), 0.1, terms)]
        problem = Problem(x, columns["y"], Additive([*parts, Component("age", [1], RBF(0.01), 0.1)]))
        return pytest.approx(fit(problem).raise_for_status().objective, rel=1e-9)

    assert page.page.locator(".axis").first.locator("text").all_text_contents() == ["north", "south"]
    assert page.objective() == exact([]) and page.page.locator("#add").is_disabled()
    page.page.get_by_label("Component").select_option("depth")
    page.page.locator("input[name='tv']").check()
    page.page.get_by_label("tv weight", exact=True).fill("0.5")
    page.page.keyboard.press("Tab")
    page.until("hw4opt.app.fit?.command.includes('depth.tv=0.5')")
    assert page.objective() == exact([TotalVariation(0.5)])
    row = int(page.page.locator("circle[tabindex='0']").get_attribute("data-row"))
    across, up = page.point(row)
    page.page.mouse.move(across, up)
    page.page.mouse.down()
    for step in range(1, 20):
        page.page.mouse.move(across, up + 5 * step)
    page.page.wait_for_timeout(200)
    held = page.point(row)
    page.page.mouse.up()
    page.settle()
    assert held == pytest.approx((across, up + 95), abs=12), "the point follows the pointer"
    moved = np.array(page.js("hw4opt.app.data.columns.y"))
    assert moved[row] < y[row] and np.array_equal(np.delete(moved, row), np.delete(y, row))
    found = page.objective()
    assert found == exact([TotalVariation(0.5)]) and page.errors == []
    page.page.get_by_label("Component").select_option("site")
    page.settle()
    assert page.page.locator(".axis").first.locator("text").all_text_contents() == ["north", "south"]
    assert page.objective() == pytest.approx(found, rel=1e-12), "another component is shown, of the same fit"


def test_what_is_copied_repeats_the_shown_objective(tab, hw4opt, tmp_path):
    page = tab("--loss", "huber", *GIVEN)
    page.page.locator("circle[data-row='24']").focus()
    page.page.keyboard.press("ArrowUp")
    page.until("hw4opt.app.edited")
    shown = page.objective()
    with page.page.expect_download() as download:
        page.page.locator("#get-data").click()
    assert download.value.suggested_filename == "edited.csv"
    download.value.save_as(tmp_path / "edited.csv")
    words = shlex.split(page.page.locator("#command").inner_text())[1:]
    done = hw4opt(*words, "--json", "-", "--quiet")
    assert done.json["objective"] == pytest.approx(shown, rel=1e-9)
    found = {}
    exec(page.page.locator("#python").inner_text(), found)
    assert found["result"].objective == pytest.approx(shown, rel=1e-9)


def test_leave_one_out_chooses_draws_its_map_and_is_cancelled(tab):
    page = tab(*GIVEN)
    page.settle()
    page.page.locator("#choose").click()
    page.until("hw4opt.app.chosen")
    page.settle()
    assert page.page.locator("path.cell").count() > 20
    assert page.js("hw4opt.app.fit.hyperparameters") == page.js("hw4opt.app.chosen.hyperparameters")
    page.page.locator("path.cell").nth(3).dispatch_event("click")
    page.until("hw4opt.app.fit && hw4opt.app.fit.hyperparameters.gamma !== hw4opt.app.chosen.hyperparameters.gamma")
    page.page.locator("input[name='tv']").check()
    page.page.select_option("select[aria-label='Loss']", "huber")
    page.page.locator("#choose").click()
    page.page.locator("#cancel").click()
    assert page.page.locator("#choose-text").inner_text() == "cancelled"
    page.settle()


def test_good_and_bad_csv(tab, tmp_path):
    page = tab(*GIVEN)
    page.settle()
    (tmp_path / "good.csv").write_text("dose,response\n" + "".join(f"{k},{k % 4}\n" for k in range(30)))
    (tmp_path / "bad.csv").write_text("dose,response\n1,2\n2,n/a\n3,4\n4,5\n")
    page.page.set_input_files("#file", tmp_path / "bad.csv")
    page.until("document.getElementById('verdict').textContent.includes('row 2')")
    page.page.set_input_files("#file", tmp_path / "good.csv")
    page.until("hw4opt.app.data.source === 'good.csv'")
    page.settle()
    assert page.page.locator("#command").inner_text().startswith("hw4opt solve good.csv --x dose --y response")


def test_two_windows_and_a_server_that_comes_back(tab, served):
    explorer = served(*GIVEN, token="the-same")
    one, other = tab(url=explorer.url), tab(url=explorer.url)
    one.settle()
    before = other.objective()
    one.page.select_option("select[aria-label='Loss']", "absolute")
    one.until("hw4opt.app.fit?.command.includes('absolute')")
    one.page.locator("circle[data-row='24']").focus()
    one.page.keyboard.press("Shift+ArrowUp")
    one.until("hw4opt.app.edited")
    shown = one.objective()
    assert other.objective() == before != shown
    port = urlsplit(explorer.url).port
    explorer.close()
    one.until("document.getElementById('connection').textContent.includes('lost')")
    served(*GIVEN, token="the-same", port=port)
    one.until("document.getElementById('connection').textContent === 'connected'")
    one.until("hw4opt.app.fit?.command.includes('edited.csv')")
    assert one.objective() == shown


def serious(page):
    """Accessibility violations that axe rates serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: extra `browser`")
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"]])
        for one in axe.Axe().run(page.page).response["violations"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(tab, scheme, width):
    page = tab(*GIVEN, color_scheme=scheme, viewport={"width": width, "height": 720}, bypass_csp=True)
    page.settle()
    page.page.locator("#choose").click()
    page.until("hw4opt.app.chosen")
    page.page.locator("#pin").click()
    page.settle()
    assert serious(page) == []
    assert page.js("document.documentElement.scrollWidth") <= width
    page.page.select_option("select[aria-label='Loss']", "quantile")
    page.page.get_by_label("tau", exact=True).fill("0.1 0.9")
    page.page.keyboard.press("Tab")
    page.until("hw4opt.app.fit?.command.includes('tau=0.1;0.9')")
    assert serious(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_sums_and_reports(tab, hw4opt, tmp_path, scheme):
    write_sites(tmp_path / "sites.csv")
    words = [str(tmp_path / "sites.csv"), "--additive", "--component", "site=site:categorical"]
    options = {"color_scheme": scheme, "bypass_csp": True}
    page = tab(*words, **options)
    page.settle()
    assert serious(page) == []
    assert hw4opt("report", *words, "--out", "r.html", "--quiet").status == 0
    report = tab(url=(tmp_path / "r.html").as_uri(), **options)
    report.until("document.querySelectorAll('path.curve').length === 4")
    assert serious(report) == [] and report.errors == []


def test_a_report_opens_without_a_network(tab, hw4opt, tmp_path):
    assert hw4opt("report", "--loss", "huber", "--out", "r.html", "--quiet").status == 0
    page = tab(url=(tmp_path / "r.html").as_uri(), offline=True)
    page.page.wait_for_timeout(300)
    assert page.page.locator("path.curve").get_attribute("d") and page.page.locator("path.cell").count() > 20
    page.page.get_by_label("truth").uncheck()
    assert not page.page.locator("path.truth").is_visible()
    assert page.errors == [] and {urlsplit(url).scheme for url in page.requests} <= {"file", "data"}
    sheets = page.page.pdf(format="A4", prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type /Page\b", sheets)) == 2, "a plain fit is two pages of paper"


def test_a_report_of_moods_opens_without_a_network(tab, hw4opt, tmp_path):
    words = ["--k-range", "2:3", "--restarts", 3, "--search", 0, "--report", "m.html", "--quiet"]
    assert hw4opt("em", *words).status == 0
    for width in (1280, 390):
        options = {"viewport": {"width": width, "height": 800}, "offline": True}
        page = tab(url=(tmp_path / "m.html").as_uri(), **options)
        page.page.wait_for_timeout(300)
        charts = page.page.locator(".chart > svg")
        assert charts.count() == 3 and charts.nth(0).locator("circle.series").count() == 12, "3 moods, 4 coefficients"
        assert page.page.locator(".chart path.line").count() == 4, "three criteria, and the climb"
        charts.nth(0).locator("circle.series").first.hover()
        assert "mood 1, (intercept): " in page.page.locator(".chart .map-caption").first.inner_text()
        assert page.js("document.documentElement.scrollWidth") <= width
        assert page.errors == [] and {urlsplit(url).scheme for url in page.requests} <= {"file", "data"}


def test_a_report_of_the_page_is_downloaded(tab, tmp_path):
    page = tab("--loss", "huber", *GIVEN)
    page.settle()
    with page.page.expect_download() as download:
        page.page.locator("#get-report").click()
    download.value.save_as(tmp_path / "r.html")
    assert page.page.locator("#command").inner_text() in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_figures_are_downloaded(tab, tmp_path):
    page = tab(*GIVEN)
    page.settle()
    for kind, head in (("svg", b"<svg"), ("png", b"\x89PNG")):
        with page.page.expect_download() as download:
            page.page.locator(f"#get-{kind}").click()
        download.value.save_as(tmp_path / kind)
        content = (tmp_path / kind).read_bytes()
        assert content.startswith(head) and b"var(--" not in content
