"""Names that moved: the old ones still give the same objects, and warn."""

import importlib
import sys

import pytest

from hw4opt.mixture import components, listener, model, playlists, search, selection, validation

PACKAGE = {
    "Budget": search.Budget,
    "Choice": selection.Choice,
    "MixtureResult": components.MixtureResult,
    "Moods": components.Components,
    "Playlist": playlists.Playlist,
    "PoissonMixture": model.PoissonMixture,
    "Rows": validation.Rows,
    "choose_k": selection.choose_k,
    "make_playlists": playlists.make_playlists,
    "simulated_listener": listener.simulated_listener,
    "write_playlists": playlists.write_playlists,
}
MODULES = {
    "ascent": ("climb", "moved"),
    "check": ("Rows",),
    "choosing": ("CRITERIA", "Choice", "choose_k"),
    "em": ("cycle", "m_step", "one_hot", "textbook"),
    "existence": ("Existence", "settle"),
    "likelihood": ("Point", "curvature", "expect"),
    "listener": ("COEF", "FEATURES", "Listener", "simulated_listener"),
    "mixture": ("PoissonMixture",),
    "moods": ("MixtureResult", "Moods"),
    "playlists": ("Playlist", "cautions", "defining_rows", "make_playlists", "playlist_path", "write_playlists"),
    "plotting": ("plot_mixture",),
    "sample": ("Sample",),
    "search": ("Budget", "settle"),
    "separated": ("drift",),
}


@pytest.fixture(autouse=True)
def first_import(monkeypatch):
    """Every test imports the old names as a fresh process does."""
    for name in [name for name in sys.modules if name.startswith("hw4opt.poisson")]:
        monkeypatch.delitem(sys.modules, name)


def imported(module, name):
    """What `from module import name` gives, and the warnings on the way."""
    scope = {}
    with pytest.warns(DeprecationWarning) as caught:
        exec(f"from {module} import {name} as found", scope)
    return scope["found"], [str(one.message) for one in caught]


@pytest.mark.parametrize("name", PACKAGE)
def test_names_of_the_old_package_warn_and_are_the_new_ones(name):
    found, said = imported("hw4opt.poisson", name)
    assert found is PACKAGE[name]
    assert len(said) == 1 and name in said[0] and f"hw4opt.mixture.{PACKAGE[name].__module__.rpartition('.')[2]}" in said[0]


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in MODULES.items() for name in names])
def test_names_of_the_old_modules_warn_and_are_the_new_ones(module, name):
    found, said = imported(f"hw4opt.poisson.{module}", name)
    assert len(said) == 1 and "1.0" in said[0]
    new_name, new_module = said[0].split(" is ")[1].split(";")[0].split(" of ")
    assert found is getattr(importlib.import_module(new_module), new_name)
    if name in PACKAGE:
        assert found is PACKAGE[name]


def test_an_old_name_that_never_was_is_an_error():
    import hw4opt.poisson.search

    import hw4opt.poisson

    for module in (hw4opt.poisson, hw4opt.poisson.search):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = module.nothing
