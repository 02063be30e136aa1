"""Build the compiled core with the system's C compiler, or with that of the PyPI package `ziglang`.

Used by the loader, by the build hook of the wheel (as a file, since the package cannot be imported without NumPy), and
by hand: `python hw4opt/core/build.py --help`. Modules that only building needs are imported when it builds.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from subprocess import Popen

FOLDER = Path(__file__).resolve().parent
FLAGS = ("-std=gnu11", "-O3", "-fno-math-errno", "-fPIC", "-shared", "-fvisibility=hidden")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g")
VARIANTS = {"baseline": ("-DLANES=2",), "avx2": ("-mavx2", "-mfma", "-DLANES=4")}
ZIG_REQUIREMENT = "ziglang~=0.17.1"
ZIG_TARGETS = {  # of the machines that a library is cross-compiled for
    "linux-x86_64": "x86_64-linux-gnu.2.17",
    "linux-aarch64": "aarch64-linux-gnu.2.17",
    "macos-x86_64": "x86_64-macos",
    "macos-aarch64": "aarch64-macos",
    "windows-x86_64": "x86_64-windows-gnu",
}
ZIG_CPUS = {"baseline": "x86_64", "avx2": "x86_64+avx2+fma"}  # of x86-64: zig takes the machine's own by default
SUFFIXES = {"linux": ".so", "macos": ".dylib", "windows": ".dll"}
NO_COMPILER = (
    "the compiled core of hw4opt has to be built, and there is no C compiler that works: install one (`cc`, or name it "
    f"in CC), or `pip install '{ZIG_REQUIREMENT}'`"
)
LAST_LINES = 8  # last lines of the compiler's output in a message


class BuildError(RuntimeError):
    """Raised if the core cannot be built."""


def machine() -> str:
    """System and processor, as in `linux-x86_64`."""
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, "linux")
    name = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "AMD64").lower()
    if sys.maxsize < 1 << 32:
        return f"{system}-{name}-32"  # a 32-bit Python
    return f"{system}-{ {'amd64': 'x86_64', 'arm64': 'aarch64'}.get(name, name) }"


def variants(target: str) -> tuple[str, ...]:
    """The names of the libraries for a machine."""
    return ("baseline", "avx2") if target.endswith("x86_64") else ("baseline",)


def digest(folder: Path = FOLDER) -> str:
    """Eight digits of a checksum of all sources and of this file."""
    total = 0
    for name in sorted(os.listdir(folder)):
        if name.endswith((".c", ".h")) or name == "build.py":
            total = zlib.crc32((folder / name).read_bytes(), zlib.crc32(name.encode(), total))
    return f"{total:08x}"


def library_path(variant: str, folder: Path = FOLDER, target: str = "") -> Path:
    """The path of the library that is built from the present sources."""
    target = target or machine()
    return folder / f"_{variant}_{digest(folder)}{SUFFIXES[target.partition('-')[0]]}"


def build(out: Path = FOLDER, folder: Path = FOLDER, target: str = "") -> list[Path]:
    """Build the missing libraries of a machine into `out`, and remove those of older sources."""
    target = target or machine()
    paths = [out / library_path(variant, folder, target).name for variant in variants(target)]
    with _locked(out):
        if not all(path.exists() for path in paths):
            compile_all(dict(zip(variants(target), paths, strict=True)), folder, target)
        for variant, path in zip(variants(target), paths, strict=True):
            for old in set(out.glob(f"_{variant}_*{path.suffix}")) - {path}:
                with suppress(OSError):  # in use, where a file in use can't go
                    old.unlink()
    return paths


def compile_all(paths: dict[str, Path], folder: Path = FOLDER, target: str = "", sanitize: bool = False) -> None:
    """Compile the library of every variant to its path, in parallel; files are replaced atomically."""
    from tempfile import TemporaryDirectory

    target = target or machine()
    compiler = find_compiler(target)
    sources = sorted(map(str, folder.glob("*.c")))
    with TemporaryDirectory(prefix="hw4opt-core-", ignore_cleanup_errors=True) as scratch:
        running = {}
        for variant, path in paths.items():
            made = Path(scratch) / f"{variant}{path.suffix}"
            command = [*compiler, *flags(compiler, variant, target, sanitize), *sources, "-o", str(made)]
            command += [] if target.startswith("windows") else ["-lm"]
            running[variant] = (made, _start(command, scratch))
        for variant, (made, process) in running.items():
            said = process.communicate()[0]
            if process.returncode:
                raise BuildError(_failure(compiler, said))
            _put(made, paths[variant])


def flags(compiler: Sequence[str], variant: str, target: str, sanitize: bool = False) -> list[str]:
    """The compiler flags for a variant."""
    found = [*FLAGS, *VARIANTS[variant], *(SANITIZERS if sanitize else ("-s",))]
    if not _is_zig(compiler):
        return [flag for flag in found if flag != "-s" or not target.startswith("macos")]
    found = [flag for flag in found if flag not in ("-mavx2", "-mfma")]
    found += ["-target", _zig_target(target)]
    return found + ([f"-mcpu={ZIG_CPUS[variant]}"] if target.endswith("x86_64") else [])


def find_compiler(target: str = "") -> list[str]:
    """The command of `CC`, else `cc`, else of ziglang; of ziglang if `target` is another machine."""
    if (target or machine()) == machine() and (own := system_compiler()):
        return own
    from importlib.util import find_spec

    if find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise BuildError(NO_COMPILER)


def system_compiler() -> list[str] | None:
    """The command of `CC`, or `cc`, if it exists and compiles a library that includes headers of the C library."""
    import shlex
    from shutil import which

    for words in (shlex.split(os.environ.get("CC", "")), ["cc"]):
        if words and which(words[0]) and _works(words):
            return words
    return None


def _works(compiler: list[str]) -> bool:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="hw4opt-core-", ignore_cleanup_errors=True) as scratch:
        source = Path(scratch) / "try.c"
        source.write_text("#include <math.h>\n#include <string.h>\ndouble root(double x) { return sqrt(x); }\n")
        process = _start([*compiler, "-fPIC", "-shared", str(source), "-o", str(Path(scratch) / "try.out")], scratch)
        process.communicate()
        return process.returncode == 0


def _is_zig(compiler: Sequence[str]) -> bool:
    return "ziglang" in compiler or "zig" in (Path(compiler[0]).stem, *compiler[1:2])


def _zig_target(target: str) -> str:
    import sysconfig

    if target not in ZIG_TARGETS:
        raise BuildError(f"the compiled core of hw4opt has to be built on {target} with a C compiler (`cc`)")
    musl = target == machine() and "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
    return ZIG_TARGETS[target].replace("gnu.2.17", "musl" if musl else "gnu.2.17")


def _start(command: list[str], scratch: str) -> Popen[str]:
    """Start the compiler; zig's caches are in the scratch folder, since HOME may be missing or read-only."""
    from subprocess import DEVNULL, PIPE, STDOUT, Popen

    caches = {"ZIG_GLOBAL_CACHE_DIR": f"{scratch}/zig", "ZIG_LOCAL_CACHE_DIR": f"{scratch}/zig"}
    return Popen(
        command,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
        errors="replace",
        env={**caches, **os.environ},
        cwd=scratch,
    )


def _failure(compiler: Sequence[str], said: str) -> str:
    last = "\n".join(said.strip().splitlines()[-LAST_LINES:])
    return f"the compiled core of hw4opt could not be built with `{' '.join(compiler)}`; it said:\n{last}"


def _put(made: Path, path: Path) -> None:
    """Move a file into place atomically, also across file systems."""
    from shutil import copyfile

    near = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        copyfile(made, near)
        os.replace(near, path)
    except OSError as error:
        with suppress(OSError):
            near.unlink()
        raise BuildError(f"the compiled core of hw4opt could not be written to {path.parent}: {error}") from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Context that only one process at a time enters, if the file system has locks; otherwise two may both build."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def main(words: Sequence[str] | None = None) -> None:
    """The command line: build the libraries in place, or one of them elsewhere."""
    from argparse import ArgumentParser

    parser = ArgumentParser(description="Build the compiled core: in place, or one library to OUT.")
    parser.add_argument("--out", type=Path, help="the file of one library")
    parser.add_argument("--variant", choices=sorted(VARIANTS), default="baseline", help="of --out")
    parser.add_argument("--target", choices=sorted(ZIG_TARGETS), default="", help="another machine (needs ziglang)")
    parser.add_argument("--sanitize", action="store_true", help="with AddressSanitizer and UndefinedBehaviorSanitizer")
    options = parser.parse_args(words)
    try:
        if options.out is None:
            sys.stdout.writelines(f"{path}\n" for path in build())
        else:
            compile_all({options.variant: options.out.resolve()}, FOLDER, options.target, options.sanitize)
    except BuildError as error:
        sys.exit(f"build.py: {error}")


if __name__ == "__main__":
    main()
