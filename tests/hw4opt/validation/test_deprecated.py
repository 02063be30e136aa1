"""Names that moved or were renamed: the old ones still work, and warn."""

import sys

import numpy as np
import pytest

from hw4opt import InputError
from hw4opt.mixture import (
    ascent,
    components,
    em,
    likelihood,
    listener,
    model,
    playlists,
    plotting,
    result,
    runs,
    sample,
    search,
    selection,
    uncertainty,
    validation,
)
from hw4opt.proof import existence, separation

X, Y = np.arange(12.0) % 5, np.arange(12.0)
QUICK = search.Budget(2, 0)

PACKAGE = {
    "Budget": search.Budget,
    "Choice": selection.Choice,
    "MixtureResult": result.MixtureResult,
    "Moods": components.Components,
    "Playlist": playlists.Playlist,
    "PoissonMixture": model.PoissonMixture,
    "Rows": validation.Rows,
    "make_playlists": playlists.make_playlists,
    "simulated_listener": listener.simulated_listener,
    "write_playlists": playlists.write_playlists,
}
MODULES = {
    "ascent.climb": ascent.ascend,
    "ascent.moved": ascent.moved,
    "check.Rows": validation.Rows,
    "choosing.CRITERIA": selection.CRITERIA,
    "choosing.Choice": selection.Choice,
    "em.cycle": em.cycle,
    "em.m_step": em.m_step,
    "em.one_hot": em.one_hot,
    "em.textbook": em.textbook,
    "existence.Existence": existence.Existence,
    "existence.settle": existence.settle,
    "likelihood.Point": likelihood.MixtureParameters,
    "likelihood.curvature": likelihood.curvature,
    "likelihood.expect": likelihood.expect,
    "listener.COEF": listener.COEF,
    "listener.FEATURES": listener.FEATURES,
    "listener.Listener": listener.Listener,
    "listener.simulated_listener": listener.simulated_listener,
    "mixture.PoissonMixture": model.PoissonMixture,
    "moods.Criteria": result.Criteria,
    "moods.MixtureResult": result.MixtureResult,
    "moods.Moods": components.Components,
    "moods.Starts": result.Starts,
    "moods.Uncertainty": uncertainty.Uncertainty,
    "playlists.Playlist": playlists.Playlist,
    "playlists.cautions": playlists.cautions,
    "playlists.defining_rows": playlists.defining_rows,
    "playlists.make_playlists": playlists.make_playlists,
    "playlists.playlist_path": playlists.playlist_path,
    "playlists.write_playlists": playlists.write_playlists,
    "plotting.plot_mixture": plotting.plot_mixture,
    "sample.Design": sample.MixtureDesign,
    "sample.Sample": sample.Sample,
    "search.Budget": search.Budget,
    "search.settle": runs.finish_run,
    "separated.drift": separation.drift,
}


@pytest.fixture(autouse=True)
def fresh_modules(monkeypatch):
    """Every test imports the old names as a new process does."""
    for name in [name for name in sys.modules if name.startswith("hw4opt.poisson")]:
        monkeypatch.delitem(sys.modules, name)


def imported(module, name):
    """What `from module import name` gives, and the warnings on the way, all of them raised at the caller."""
    scope = {}
    with pytest.warns(DeprecationWarning) as caught:
        exec(compile(f"from {module} import {name} as found", "caller.py", "exec"), scope)
    assert {one.filename for one in caught} == {"caller.py"}
    return scope["found"], [str(one.message) for one in caught]


@pytest.mark.parametrize("name", PACKAGE)
def test_names_of_the_old_package_warn_and_are_the_new_ones(name):
    found, said = imported("hw4opt.poisson", name)
    assert found is PACKAGE[name]
    assert said == [
        f"hw4opt.poisson's {name} is now {found.__name__} of {found.__module__}; the old name goes in version 1.0"
    ]


@pytest.mark.parametrize("name", MODULES)
def test_names_of_the_old_modules_warn_and_are_the_new_ones(name):
    module, _, own = name.partition(".")
    found, said = imported(f"hw4opt.poisson.{module}", own)
    assert found is MODULES[name] and len(said) == 1 and "goes in version 1.0" in said[0]


def test_all_old_names_are_tested():
    import hw4opt.poisson as old

    assert {*old.PLACES} == {*MODULES, "choosing.choose_k"} and {*old.PACKAGE_NAMES} == {*PACKAGE, "choose_k"}


@pytest.mark.parametrize("module", ["hw4opt.poisson", "hw4opt.poisson.choosing"])
def test_the_old_choose_k_takes_its_old_arguments(module):
    old, said = imported(module, "choose_k")
    assert "choose_k of hw4opt.mixture.selection" in said[0]
    mixture, tried = model.PoissonMixture(1, budget=QUICK), []
    found = old(mixture, (X, Y, validation.Rows()), [1, 2], "aic", told=tried.append)
    new = selection.choose_k(mixture, X, Y, [1, 2], criterion="aic")
    assert tried == [1, 2] and found.values("aic") == new.values("aic") and found.best.k == new.best.k
    with pytest.raises(InputError, match="data is no triple"):
        old(mixture, (X, Y), [1])


def test_an_old_name_that_never_was_is_an_error():
    import hw4opt.poisson.search  # with hw4opt.poisson itself

    for module in (hw4opt.poisson, hw4opt.poisson.search):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = module.nothing


def test_report_is_progress_and_moods_are_components():
    calls = []
    mixture = model.PoissonMixture(2, budget=QUICK)
    with pytest.warns(DeprecationWarning, match=r"PoissonMixture\.fit's argument report is now progress"):
        found = mixture.fit(X, Y, report=lambda *call: calls.append(call))
    assert calls and all(len(call) == 3 for call in calls)
    with pytest.warns(DeprecationWarning, match=r"MixtureResult\.moods is now MixtureResult\.components"):
        moods = found.moods
    assert (moods.coef == found.components.coef).all()
    with pytest.raises(TypeError):
        mixture.fit(X, Y, told=None)
