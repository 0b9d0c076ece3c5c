"""Packaging of sgmcmc_mx. Two things in it are not usual.

*Which MXNet is required.* PyPI has one module, ``mxnet``, under several names: ``mxnet`` (CPU), ``mxnet-cu112`` and its
kin (GPU). pip takes them for unrelated, so a requirement on ``mxnet`` would put the CPU files over an installed GPU
wheel. What is there cannot be looked at from here: pip builds in an isolated environment and may keep the wheel for
another one. So whoever has another MXNet says so, and the requirement names it::

    SGMCMC_MX_MXNET=mxnet-cu112 pip install .     # nothing is overwritten, pip check is content
    SGMCMC_MX_MXNET=none pip install .            # an MXNet built by hand: no requirement at all

*The native step.* Every ``sgmcmc_mx/kernels/src/*.c`` is compiled into one plain shared library, which ctypes loads, by
the command that stands in ``sgmcmc_mx/kernels/build.py``. Without a compiler the build goes on without it, and the
package takes its other steps.

*The wheel's tag.* That library is no extension module of one Python, so a wheel with it is tagged
``py3-none-<platform>``: one serves every Python. A wheel without it holds Python files only and is tagged
``py3-none-any``.
"""

import glob
import os
import re
import runpy
import shlex
import subprocess

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # before setuptools 70.1; pyproject.toml asks for a newer one where a wheel is built
    bdist_wheel = None

HERE = os.path.dirname(os.path.abspath(__file__))


def read(*path):
    name = os.path.join(HERE, *path)
    if not os.path.exists(name):
        return ""
    with open(name, encoding="utf-8") as text:
        return text.read()


def mxnet_requirement():
    name = os.environ.get("SGMCMC_MX_MXNET", "").strip() or "mxnet"
    if name == "none":
        return []
    if not re.fullmatch(r"mxnet(-[a-z0-9]+)*", name):
        raise SystemExit(
            f"SGMCMC_MX_MXNET={name!r}: write the name of the MXNet distribution to require, such as mxnet-cu112, "
            "or none for an MXNet that pip does not know"
        )
    return [f"{name}>=1.9.1,<2"]


class BuildStep(build_ext):
    """Compile an extension's sources into ``<its name>.so`` by one call of the C compiler (``$CC``, else cc)."""

    def get_ext_filename(self, fullname):
        return os.path.join(*fullname.split(".")) + ".so"

    def build_extension(self, ext):
        target = self.get_ext_fullpath(ext.name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        build = runpy.run_path(os.path.join(HERE, "sgmcmc_mx", "kernels", "build.py"))
        compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
        failures = []
        for openmp in (True, False):
            partial = f"{target}.{os.getpid()}.tmp"
            command = [*compiler, *build["command"](os.path.abspath(partial), compiler[0], openmp)[1:]]
            self.announce(shlex.join(command), level=2)
            try:
                subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                os.replace(partial, target)  # a process that has the old library loaded keeps it
                return
            except OSError as error:
                failures.append(f"{compiler[0]}: {error}")
            except subprocess.CalledProcessError as error:
                failures.append(f"{shlex.join(command)}\n{error.stdout}")
            if os.path.exists(partial):
                os.remove(partial)
        # What an earlier build left comes from other sources; with it the package would not be what this one says.
        if os.path.exists(target):
            os.remove(target)
        # The extension is optional: setuptools turns this into a warning.
        raise CompileError("the native step was not compiled, sampling will be slower.\n" + "\n".join(failures))


def step_was_built(build):
    """Whether the command ``build_ext`` left every library it was to compile."""
    return all(os.path.exists(build.get_ext_fullpath(ext.name)) for ext in build.extensions or [])


if bdist_wheel is not None:

    class TaggedWheel(bdist_wheel):
        """A wheel whose tag says what it holds (see the top of this file)."""

        def run(self):
            if not self.skip_build:
                self.run_command("build")
            # Only now is it known whether there is a library. Told that there is none, setuptools does the rest.
            if not step_was_built(self.get_finalized_command("build_ext")):
                self.distribution.ext_modules = []
                self.root_is_pure = True
            super().run()

        def get_tag(self):
            python, abi, platform = super().get_tag()
            return (python, abi, platform) if self.root_is_pure else ("py3", "none", platform)


SOURCES = sorted(
    os.path.relpath(path, HERE) for path in glob.glob(os.path.join(HERE, "sgmcmc_mx", "kernels", "src", "*.c"))
)

# Executors of dask, whose scheduler and workers come with it. 2023.5 is the newest for Python 3.8.
DASK = ["distributed>=2023.5"]

# Computes R-hat and its kin, holds InferenceData. By the NumPy below, pip chooses ArviZ 0.15 (Python 3.8), 0.17 (3.9),
# 0.21 or 0.23; `scripts/arviz` tries all. ArviZ 1 needs NumPy 2, and pip may give up before it has looked at all its
# parts. It does not always bring h5py, which writes netCDF, and 0.17 imports what SciPy 1.13 has no more.
ARVIZ = ["arviz<1", "h5py", 'scipy<1.13; python_version < "3.10"']

SKLEARN = ["scikit-learn>=1.2"]

TEST = [
    "pytest>=7.0",
    "pytest-randomly>=3.12",
    "pytest-timeout>=2.1",
    "pytest-xdist>=3.2",
    "hypothesis>=6.0",
    *SKLEARN,
    "pandas>=1.3",  # frames that estimators are given
    "scipy>=1.6",
    *DASK,
    "loky>=3.0",
    *ARVIZ,
    # What MXNet's ONNX converter writes is run. It reads onnx.mapping, which 1.19 has no more.
    "onnx>=1.14,<1.19",
    "onnxruntime>=1.15",
    "ruff==0.17.6",
    # What reads the hints, and what holds values against them.
    'mypy==2.4.1; python_version >= "3.10"',
    'typeguard>=4.6,<5; python_version >= "3.10"',
    "setuptools>=70.1",  # the packaging is tested without a download
]

setup(
    name="sgmcmc_mx",
    version=re.search(r'__version__ = "([^"]+)"', read("sgmcmc_mx", "_version.py")).group(1),
    description="Bayesian deep learning by stochastic-gradient MCMC on Apache MXNet (Gluon)",
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["sgmcmc_mx", "sgmcmc_mx.*"]),
    package_data={
        "sgmcmc_mx": ["py.typed"],
        "sgmcmc_mx.datasets": ["data_files/*"],
        "sgmcmc_mx.kernels": ["src/*", "*.cu", "*.cuh"],
        "sgmcmc_mx.reporting": ["page/*"],
    },
    ext_modules=[Extension("sgmcmc_mx.kernels._step", SOURCES, optional=True)] if SOURCES else [],
    cmdclass={"build_ext": BuildStep, **({"bdist_wheel": TaggedWheel} if bdist_wheel else {})},
    zip_safe=False,
    # NumPy below 2 does not build on Python 3.14.
    python_requires=">=3.8,<3.14",
    install_requires=[
        *mxnet_requirement(),
        # MXNet by itself imports with NumPy below 1.24. Python 3.12 has no such NumPy: sgmcmc_mx/_compat.py mends that.
        'numpy>=1.20,<1.24; python_version < "3.12"',
        'numpy>=1.26,<2; python_version >= "3.12"',
        "matplotlib>=3.5",
        "tqdm>=4.50",
        "jinja2>=3.0",
    ],
    extras_require={"arviz": ARVIZ, "dask": DASK, "sklearn": SKLEARN, "test": TEST},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
