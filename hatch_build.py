"""The build hook of the wheel: the compiled core, by `hw4opt/core/build.py`."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CoreBuildHook(BuildHookInterface):
    """Libraries for this machine, in the wheel or, for an editable install, beside their sources."""

    def dependencies(self) -> list[str]:
        """ziglang, which holds a compiler, where there is none."""
        build = self._build
        return [] if self.target_name != "wheel" or build.system_compiler() else [build.ZIG_REQUIREMENT]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and name the platform in the wheel's tag."""
        if self.target_name != "wheel":
            return
        build = self._build
        try:
            if version == "editable":
                build.build()
            else:
                self._scratch = tempfile.mkdtemp(prefix="hw4opt-wheel-")
                paths = build.build(Path(self._scratch))
                build_data["force_include"].update({str(path): f"hw4opt/core/{path.name}" for path in paths})
        except build.BuildError as error:
            sys.exit(f"hw4opt: {error}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_platform(build.machine())}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing behind."""
        if scratch := getattr(self, "_scratch", None):
            shutil.rmtree(scratch, ignore_errors=True)

    @property
    def _build(self) -> ModuleType:
        path = Path(self.root, "hw4opt", "core", "build.py")
        spec = importlib.util.spec_from_file_location("hw4opt_core_build", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def _platform(machine: str) -> str:
    """The platform of a wheel's tag; on macOS of the one processor that was compiled for."""
    if not machine.startswith("macos"):
        return sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return "macosx_11_0_arm64" if machine.endswith("aarch64") else "macosx_10_13_x86_64"
