"""Declares the compiled modules; everything else is in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

BINLOG = Path("airflow_provider_tungsten/replicator/binlog")

setup(
    ext_modules=cythonize(
        [
            Extension(
                ".".join(source.with_suffix("").parts),
                [str(source)],
                language="c++",
                extra_compile_args=["-O3", "-std=c++17", "-g0"],
            )
            for source in sorted(BINLOG.glob("*.pyx"))
        ],
        build_dir="build",
        compiler_directives={"language_level": 3, "cdivision": True},
    )
)
