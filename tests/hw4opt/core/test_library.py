"""Which library is loaded, and how a checkout builds its own."""

import ctypes
import os
import shutil

import pytest

from core_processes import SUFFIX, run_in, start_in
from hw4opt.core import build, lanes
from hw4opt.core.library import library
from hw4opt.errors import CoreError, Hw4Error

LANES = ["-c", "from hw4opt.core import lanes; print(lanes())"]
has_avx2 = pytest.mark.skipif(not ctypes.CDLL(str(build.build()[0])).core_has_avx2(), reason="the machine has no AVX2")


def loaded(monkeypatch, choice):
    monkeypatch.setenv("HW4OPT_CORE", choice)
    return library.__wrapped__()


def libraries(folder):
    return sorted(path.name for path in (folder / "hw4opt" / "core").glob(f"*{SUFFIX}*"))


def test_the_machines_own_is_loaded_and_another_one_where_it_is_asked_for(monkeypatch, tmp_path):
    assert loaded(monkeypatch, "baseline").core_lanes() == 2
    best = loaded(monkeypatch, "")
    assert best.core_lanes() == (4 if best.core_has_avx2() else 2)
    path = tmp_path / f"own{SUFFIX}"
    shutil.copy(build.library_path("baseline"), path)
    assert loaded(monkeypatch, str(path)).core_lanes() == 2
    assert lanes() in (2, 4)


@has_avx2
def test_the_wide_one_is_loaded_where_it_is_asked_for(monkeypatch):
    assert loaded(monkeypatch, "avx2").core_lanes() == 4


def test_a_choice_that_is_none_is_one_sentence(monkeypatch, tmp_path):
    for choice, sentence in (
        ("avx512", "HW4OPT_CORE is 'avx512'; it takes baseline, avx2 or the path of a library"),
        (str(tmp_path / "none.so"), "can't be loaded"),
        (str(build.FOLDER / "build.py"), "can't be loaded"),
    ):
        with pytest.raises(CoreError, match=sentence):
            loaded(monkeypatch, choice)
    assert issubclass(CoreError, Hw4Error) and issubclass(CoreError, ImportError)


def test_a_name_depends_on_every_source(tmp_path):
    for path in (*build.FOLDER.glob("*.[ch]"), build.FOLDER / "build.py"):
        shutil.copy(path, tmp_path)
    seen = {build.digest(), build.digest(tmp_path)}
    assert len(seen) == 1
    for path in sorted(tmp_path.iterdir()):
        path.write_bytes(path.read_bytes() + b"\n")
        seen.add(build.digest(tmp_path))
    (tmp_path / "library.c").rename(tmp_path / "other.c")
    assert len(seen | {build.digest(tmp_path)}) == len(list(tmp_path.iterdir())) + 2


@pytest.mark.slow
def test_a_checkout_builds_its_own_once_and_again_when_a_source_changes(checkout):
    both = [start_in(checkout, LANES) for _ in range(2)]  # at the same time
    assert [process.communicate(timeout=120)[0] for process in both] == [f"{lanes()}\n"] * 2
    first = libraries(checkout)
    assert len(first) == len(build.variants(build.machine()))
    with open(checkout / "hw4opt" / "core" / "library.c", "a") as source:
        source.write("/* edited */\n")
    assert run_in(checkout, LANES, HW4OPT_CORE="baseline") == (0, "2\n")
    assert len(libraries(checkout)) == len(first) and not set(libraries(checkout)) & set(first)


def test_without_a_compiler_a_checkout_says_what_to_do(checkout):
    code = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "ziglang" else find(name, *rest)
import hw4opt.core
hw4opt.core.library()
"""
    for environment in ({"PATH": ""}, {"PATH": "", "CC": "no-such-compiler"}):
        status, said = run_in(checkout, ["-c", code], **environment)
        assert status == 1 and said.splitlines()[-1] == f"hw4opt.errors.CoreError: {build.NO_COMPILER}"
    assert not libraries(checkout)


@pytest.mark.skipif(os.name != "posix", reason="the compiler is a shell script")
def test_what_a_compiler_says_is_quoted(checkout):
    with open(checkout / "hw4opt" / "core" / "library.c", "a") as source:
        source.write("#error on purpose\n")
    status, said = run_in(checkout, LANES)
    assert status == 1 and "could not be built with `cc`; it said:" in said and "on purpose" in said
    assert not libraries(checkout)


@pytest.mark.skipif(os.name != "posix", reason="the compiler is a shell script")
def test_a_compiler_that_does_not_work_is_passed_over(monkeypatch, tmp_path):
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    assert build.system_compiler() != [str(broken)]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.system_compiler() is None
    working = tmp_path / "wrapped"
    working.write_text(f'#!/bin/sh\nshift\nexec {shutil.which("cc", path=os.defpath)} "$@"\n')
    working.chmod(0o755)
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setenv("CC", f"{working} --launched")
    assert build.system_compiler() == [str(working), "--launched"]


@pytest.mark.slow
def test_ziglang_builds_what_cc_builds(monkeypatch, tmp_path):
    pytest.importorskip("ziglang")
    monkeypatch.setattr(build, "system_compiler", lambda: None)
    for variant, path in zip(build.variants(build.machine()), build.build(tmp_path), strict=True):
        assert loaded(monkeypatch, str(path)).core_lanes() == (4 if variant == "avx2" else 2)


@pytest.mark.full
@pytest.mark.parametrize("target", build.ZIG_TARGETS)
def test_ziglang_builds_for_other_machines(tmp_path, target):
    """Untested machines: this only checks that the core compiles."""
    pytest.importorskip("ziglang")
    starts = {"linux": b"\x7fELF", "macos": b"\xcf\xfa\xed\xfe", "windows": b"MZ"}
    paths = {variant: tmp_path / f"{variant}.out" for variant in build.variants(target)}
    build.compile_all(paths, target=target)
    assert all(path.read_bytes().startswith(starts[target.partition("-")[0]]) for path in paths.values())
