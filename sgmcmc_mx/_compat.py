"""Import MXNet 1.9.1 on interpreters and NumPy releases younger than it is.

Importing this module imports ``mxnet`` and, around that import only where needed,

* puts back ``numpy.bool`` and ``numpy.int``, which MXNet reads and NumPy 1.24 took away;
* lends MXNet a ``distutils.version``, which Python 3.12 took away (MXNet compares two NumPy versions with it);
* keeps MXNet's own deprecation warnings off the console;
* keeps SciPy's statistics and scikit-learn from being imported with it, which would take half as long as all of MXNet.
  MXNet's quantization gets the statistics when it uses them. Its FeedForward, which was given up for Module in 2016, is
  an estimator of scikit-learn only where scikit-learn was imported before;
* has a key-value store of this process wait for what was asked of it before it goes, for MXNet frees it at once.

What cannot work is one :class:`ImportError` that says what to install. On Python 3.12 and later, or with NumPy 1.24 and
later, ``import sgmcmc_mx`` has to come before ``import mxnet``. Nothing else of the package is imported from here, so
that the file can also be run on its own in a child process.

The console command is an exception: where it has only to show a help text, or MXNet does not work, MXNet is not
imported, the package stays empty (``alone``), and the command answers by itself. ``sgmcmc-mx doctor`` has to say what
is broken, and who completes a word by the tabulator key cannot wait for MXNet.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import re
import sys
import threading
import types
import warnings
from typing import Any, Iterator, List, Optional

__all__ = ["alone", "import_mxnet", "problem", "serving"]

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


class _Later(types.ModuleType):
    """A module that is imported when something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def _without_large_imports() -> Iterator[None]:
    """What MXNet would import within this and hardly ever use comes later, or not; what is imported already stays."""
    instead = {"scipy.stats": _Later("scipy.stats"), "sklearn": None}
    instead = {name: module for name, module in instead.items() if name not in sys.modules}
    sys.modules.update(instead)     # type: ignore[arg-type]    # None: not to be imported
    try:
        yield
    finally:    # whoever asks for the real one gets it
        for name, module in instead.items():
            if sys.modules.get(name, module) is module:
                sys.modules.pop(name, None)


def _let_stores_finish(mxnet: Any) -> None:
    """A trainer or Module on several contexts that goes out of scope must not take its sums with it.

    MXNet asks its engine for the sums of gradients, and frees the store they belong to without waiting for them. They
    then read memory that is no more, and the process dies by SIGFPE or SIGSEGV; with 'sgd' as with any optimizer.
    """
    store = getattr(getattr(mxnet, "kvstore", None), "KVStore", None)
    if store is None or hasattr(store.__del__, "at_once"):      # a parameter server imports no more than half of MXNet
        return
    at_once, wait_for_all, here = store.__del__, mxnet.base._LIB.MXNDArrayWaitAll, os.getpid()

    def after_its_work(self: Any) -> None:
        # Not in a forked process, which has none of this work; not on a thread of MXNet's engine, which would wait for
        # itself; not for servers elsewhere, which may be gone. An array whose making failed says so when it is read.
        if (os.getpid() == here and not isinstance(threading.current_thread(), threading._DummyThread)
                and "dist" not in self.type):
            wait_for_all()
        at_once(self)

    after_its_work.at_once = at_once        # type: ignore[attr-defined]
    store.__del__ = after_its_work


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
                with _without_large_imports():
                    importlib.import_module("mxnet")
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
    _let_stores_finish(mxnet)
    return mxnet


def _commanded() -> bool:
    """Whether this process was begun as the console command, by its name or by ``python -m sgmcmc_mx``."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        return False    # a chain's process, which inherits the name and not the task
    name = (getattr(sys, "argv", None) or [""])[0]
    if name != "-m":
        return os.path.basename(name) == COMMAND
    frame = sys._getframe()     # runpy looks the package up before it says whose program it runs
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("sgmcmc_mx", "importlib"):
        frame = frame.f_back
    return frame.f_globals.get("__name__") == "runpy"


def _asked_for_little(words: List[str]) -> bool:
    """Whether the command can answer without MXNet: with a text of help, its version, a word's end, or a diagnosis."""
    before = words[:words.index("--")] if "--" in words else words
    return not words or words[0] in ("doctor", "--version") or "--help" in before or _COMPLETE in os.environ


def _import_for_command() -> Optional[Exception]:
    """Import MXNet, and see whether the package's other requirements are there; what is in the way, if anything is."""
    try:
        for name in ("numpy", "matplotlib", "tqdm", "jinja2"):
            if importlib.util.find_spec(name) is None:
                raise ImportError(f"sgmcmc_mx needs {name}, which is not installed. Install it: pip install {name}")
        import_mxnet()
    except Exception as error:  # whatever a broken installation raises
        return error
    return None


COMMAND = "sgmcmc-mx"
_COMPLETE = "_SGMCMC_MX_COMPLETE"   # set by the shell's completion, as click has it
alone = False                       # whether the command has to do without MXNet and the rest of the package
problem: Optional[Exception] = None     # what is in MXNet's way, where the command found something

if not _commanded():
    import_mxnet()
elif _asked_for_little(sys.argv[1:]):
    alone = True
else:
    problem = _import_for_command()
    alone = problem is not None
