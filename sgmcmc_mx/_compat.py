"""Import MXNet 1.9.1 on interpreters and NumPy releases younger than it is.

Importing this module imports ``mxnet`` and, around that import only where needed,

* puts back ``numpy.bool`` and ``numpy.int``, which MXNet reads and NumPy 1.24 took away;
* lends MXNet a ``distutils.version``, which Python 3.12 took away (MXNet compares two NumPy versions with it);
* keeps MXNet's own deprecation warnings off the console.

What cannot work is one :class:`ImportError` that says what to install. On Python 3.12 and later, or with NumPy 1.24 and
later, ``import sgmcmc_mx`` has to come before ``import mxnet``. Nothing else of the package is imported from here, so
that the file can also be run on its own in a child process.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
import types
import warnings
from typing import Any, List

__all__ = ["import_mxnet", "serving"]

_GET_MXNET = "pip install mxnet==1.9.1   (with an NVIDIA GPU: pip install mxnet-cu112==1.9.1, or the one for your CUDA)"
_GET_NUMPY = 'pip install "numpy>=1.20,<1.24"   (Python 3.12 or later: "numpy>=1.26,<2")'


def serving() -> bool:
    """Whether this process serves parameters: MXNet's import then never comes to its end."""
    return os.environ.get("DMLC_ROLE") == "server" and not hasattr(sys.modules.get("mxnet"), "gluon")


@functools.total_ordering
class _Version:
    """As much of distutils' version classes as MXNet asks for: two of them can be compared."""

    def __init__(self, text: str) -> None:
        self._parts = tuple(int(part) for part in re.findall(r"\d+", text))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Version) and self._parts == other._parts

    def __lt__(self, other: _Version) -> bool:
        return self._parts < other._parts

    def __hash__(self) -> int:
        return hash(self._parts)


def _restore_numpy_aliases(numpy: Any) -> None:
    """Put back ``numpy.bool`` and ``numpy.int`` where reading them raises; older releases keep their own."""
    for name, builtin in (("bool", bool), ("int", int)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # asking for the name is enough to be warned
            missing = not hasattr(numpy, name)
        if missing:
            setattr(numpy, name, builtin)


def _lend_distutils() -> List[str]:
    """Make ``distutils.version`` importable if it is not; returns the names put into ``sys.modules``."""
    try:
        importlib.import_module("distutils.version")
        return []
    except ImportError:
        package, version = types.ModuleType("distutils"), types.ModuleType("distutils.version")
        package.__path__ = []
        version.StrictVersion = version.LooseVersion = _Version  # type: ignore[attr-defined]
        package.version = version  # type: ignore[attr-defined]
        lent = {"distutils": package, "distutils.version": version}
        sys.modules.update(lent)
        return list(lent)


def _import_numpy() -> Any:
    try:
        numpy = importlib.import_module("numpy")
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise ImportError(f"sgmcmc_mx needs NumPy, which is not installed. Install it: {_GET_NUMPY}") from None
    if int(numpy.__version__.split(".")[0]) >= 2:
        raise ImportError(
            f"sgmcmc_mx runs on MXNet 1.9.1, which needs NumPy below 2, but NumPy {numpy.__version__} is installed. "
            f"Install an older one: {_GET_NUMPY}"
        )
    return numpy


def import_mxnet() -> types.ModuleType:
    """Import and return ``mxnet``, made to work as the module's text says. A second call changes nothing.

    Raises
    ------
    ImportError
        NumPy or MXNet is missing, NumPy is 2 or later, MXNet is not 1.x, or a system library it links to is missing;
        the message says what to install.
    """
    _restore_numpy_aliases(_import_numpy())
    lent: List[str] = []
    try:
        with warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning, SyntaxWarning):
                warnings.simplefilter("ignore", category)
            if "mxnet" not in sys.modules:
                lent = _lend_distutils()
            mxnet = importlib.import_module("mxnet")
    except ModuleNotFoundError as error:
        if error.name != "mxnet":
            raise
        raise ImportError(f"sgmcmc_mx needs Apache MXNet, which is not installed. Install it: {_GET_MXNET}") from None
    except OSError as error:  # ctypes could not load libmxnet.so
        raise ImportError(
            f"Apache MXNet is installed but its library does not load: {error}. A CPU wheel needs the system's libgomp "
            "and libquadmath (Debian, Ubuntu: sudo apt install libgomp1 libquadmath0; Fedora: sudo dnf install libgomp "
            "libquadmath), a GPU wheel the CUDA it is named after and cuDNN 8."
        ) from error
    finally:
        for name in lent:  # whoever looks for the real one later must not find ours
            sys.modules.pop(name, None)
    # On a parameter server this runs halfway through MXNet's own import, before it knows its version.
    version = getattr(mxnet, "__version__", None)
    if version is not None and version.split(".")[0] != "1":
        raise ImportError(f"sgmcmc_mx runs on Apache MXNet 1.9.1, but {version} is installed. Install it: {_GET_MXNET}")
    return mxnet


import_mxnet()
