"""Builds the native kernel where there is a C compiler; without one NumPy does its work.

``TEXTRNN_REQUIRE_NATIVE=1`` makes a missing kernel an error, as jobs that publish wheels need it.
``TEXTRNN_NATIVE=0`` builds none. ``CC`` names the compiler.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = "src/textrnn/generation/native"
FLAGS = "-O3 -std=c11 -shared -fvisibility=hidden -fno-math-errno -fno-trapping-math"
SUFFIXES = {"win32": ".dll", "darwin": ".dylib"}


class NativeKernelHook(BuildHookInterface[Any]):
    """Adds the kernel to a wheel, or puts it beside its source for an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the kernel; the wheel then is for this platform, and for every Python 3."""
        name = "kernel" + SUFFIXES.get(sys.platform, ".so")
        folder = Path(self.root, FOLDER)
        self._temporary = tempfile.TemporaryDirectory()
        built = Path(self._temporary.name, name)
        if problem := compile_kernel(folder / "kernel.c", built):
            if os.environ.get("TEXTRNN_REQUIRE_NATIVE") == "1":
                raise RuntimeError(f"The native kernel could not be built. {problem}")
            self.app.display_warning(f"textrnn is installed without its native kernel. {problem}")
            if version == "editable":
                (folder / name).unlink(missing_ok=True)  # it may be older than its source
        elif version == "editable":
            os.replace(shutil.copy(built, folder / f"{name}.new"), folder / name)
        else:
            build_data["force_include"][str(built)] = f"textrnn/generation/native/{name}"
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"py3-none-{platform}"
            build_data["pure_python"] = False

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Delete the temporary file."""
        self._temporary.cleanup()


def compile_kernel(source: Path, target: Path) -> str | None:
    """Compile the kernel; return why it failed, or None."""
    if os.environ.get("TEXTRNN_NATIVE") == "0":
        return "TEXTRNN_NATIVE is 0."
    compilers = [os.environ["CC"]] if "CC" in os.environ else ["cc", "gcc", "clang"]
    for compiler in map(shlex.split, compilers):
        if compiler and shutil.which(compiler[0]):
            line = [*compiler, *FLAGS.split(), "-o", str(target), str(source)]
            line += [] if sys.platform == "win32" else ["-fPIC", "-lm"]
            done = subprocess.run(line, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return None
            return f"{compiler[0]} said: {done.stderr.strip()[-500:]}"
    return f"There is no C compiler ({', '.join(compilers)})."
