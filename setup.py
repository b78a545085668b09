"""Declares the compiled part; everything else is in pyproject.toml."""

from __future__ import annotations

from Cython.Build import cythonize
from setuptools import Extension, setup

BINLOG = "airflow_provider_tungsten/replicator/binlog"

setup(
    ext_modules=cythonize(
        [
            Extension(
                "airflow_provider_tungsten.replicator.binlog._core",
                [f"{BINLOG}/_core.pyx"],
                extra_compile_args=["-O2"],
            )
        ],
        compiler_directives={"language_level": 3},
    )
)
