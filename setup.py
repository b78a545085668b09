"""Declares the compiled modules, and says what to do where they cannot be built; everything else is in pyproject.toml."""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, CompileError, ExecError, PlatformError

BINLOG = Path("airflow_provider_tungsten/replicator/binlog")
NO_COMPILER = (
    "airflow-provider-tungsten could not be compiled: install a C++17 compiler and Python's headers"
    " (Debian and Ubuntu: apt-get install build-essential python3-dev; Fedora and Amazon Linux: dnf install gcc-c++"
    " python3-devel) and run this again, or install the package's manylinux wheel, which needs neither."
)


class BuildExt(build_ext):
    """Ends a failed build with a sentence on the way out; the compiler's own words stand above it."""

    def build_extensions(self) -> None:
        try:
            super().build_extensions()
        except (CCompilerError, ExecError, PlatformError) as error:
            raise CompileError(f"{error}\n{NO_COMPILER}") from error


setup(
    cmdclass={"build_ext": BuildExt},
    options={"build_ext": {"parallel": os.cpu_count()}},
    ext_modules=cythonize(
        [
            Extension(
                ".".join(source.with_suffix("").parts),
                [str(source)],
                language="c++",
                include_dirs=[str(BINLOG)],
                depends=[str(header) for header in sorted(BINLOG.glob("*.h"))],
                extra_compile_args=["-O3", "-std=c++17", "-g0"],
            )
            for source in sorted(BINLOG.glob("*.pyx"))
        ],
        build_dir="build",
        compiler_directives={"language_level": 3, "cdivision": True, "auto_pickle": False},
    ),
)
