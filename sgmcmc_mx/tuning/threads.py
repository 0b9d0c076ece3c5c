"""The number of threads that MXNet computes with, changed where it is kept: in the engine's own threads."""
from __future__ import annotations

import ctypes
import os
import threading
from typing import Any, Callable, List, Optional

from mxnet import ndarray as nd
from mxnet.base import _LIB, check_call
from mxnet.context import cpu

from .._check import integer

__all__ = ["tune_threads", "Threads"]

_HELP = "write a number of cores, such as threads=2, or leave it out for all that this process may use"
_PATIENCE = 600.0   # seconds to wait for the work that is queued already

_Function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_pending: dict = {}     # what the engine may still call; must not be collected


class Threads(int):
    """The number of threads before a change: an int, and a context manager that puts it back at its end."""

    _limit: Optional[int]

    def __new__(cls, number: int, limit: Optional[int]) -> Threads:
        self = super().__new__(cls, number)
        self._limit = limit
        return self

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *exc: object) -> None:
        tune_threads(self)


def tune_threads(threads: Optional[int] = None) -> Threads:
    """Let MXNet's CPU operators, the matrix products and the fused step use this many threads.

    MXNet starts with half the cores on x86, on the assumption that every core shows as two. Where it does not (most
    virtual machines), half the machine stands still in forward and backward: .86 of the time for data, forward and
    backward of small networks on two cores. ``OMP_NUM_THREADS=2`` before the import is no substitute: it took 1.9
    times as long, for the engine's threads then outnumber the cores and sleep between operators (with
    ``OMP_WAIT_POLICY=ACTIVE`` .76 to .84). ``scripts/benchmark --only tuning`` measures these and others.

    Nothing in this package calls this function; without it everything is as MXNet set it up.

    Parameters
    ----------
    threads : int, optional
        Number of threads. Default: what ``OMP_NUM_THREADS`` says if it is set, else the number of cores that this
        process may run on.

    Returns
    -------
    Threads
        The former number, an int. Give it to ``tune_threads`` to go back, or use it as a context manager::

            sg.tune_threads()                   # from here on
            with sg.tune_threads(1):            # inside only
                ...

    Raises
    ------
    TypeError, ValueError
        If ``threads`` is no whole number between 1 and the number of cores.
    RuntimeError
        If this MXNet has no way to reach its engine's threads, or they are stuck.

    Notes
    -----
    *What it changes.* OpenMP keeps its number for each calling thread, and MXNet's operators run on threads of its
    engine, so that the number is set there: for the operators of ``mx.cpu(0)``, whose engine thread also calls
    oneDNN, OpenBLAS and the fused step, which all follow it. MXNet's own limit for its simple operators (the half)
    goes with it. NumPy and the calling thread keep theirs.

    *How.* What oneDNN has prepared for a network holds buffers for the number of threads of that moment, and writes
    past their ends when it runs with more (the process then dies of "free(): invalid pointer", sooner or later). So
    where the number differs, the work queued before is waited for and the engine renews its threads, as it does
    whenever a process forks; networks prepare themselves again at their next pass. No other thread of Python may
    use MXNet meanwhile. After a fork, or in another process, call it again. One chain per process, several processes
    at once: give each its share (``OMP_NUM_THREADS=1``), or they wait for each other.

    *What else matters*, and has to be decided elsewhere:

    - ``OMP_NUM_THREADS`` before the import has the same effect as this call, also for every context.
    - ``OMP_WAIT_POLICY`` before the import: by default idle threads spin for a moment before they sleep, which is
      the fastest where the cores are free; ``PASSIVE`` leaves the cores to others where they are not.
    - ``net.hybridize(static_alloc=True, static_shape=True)``, and the loss likewise.
    - ``kvstore=None`` in the trainer on a single device.
    """
    limit: Optional[int]
    if isinstance(threads, Threads):
        number, limit = int(threads), threads._limit
    else:
        number = limit = _number(threads)
    singleton = _Limit.find()
    numbers = _on_engine(lambda: int(_LIB.omp_get_max_threads()))
    before = Threads(numbers[0], None if singleton is None else singleton.get())
    if any(n != number for n in numbers):
        _renew_workers()
    if singleton is not None and limit is not None:
        singleton.set(limit)
    _on_engine(lambda: check_call(_LIB.MXSetNumOMPThreads(ctypes.c_int(number))))
    return before


def _number(threads: Optional[int]) -> int:
    if threads is not None:
        return integer("threads", threads, _HELP, low=1, high=os.cpu_count() or 1)
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if told.isdigit() and int(told) > 0:
        return int(told)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:      # not Linux
        return os.cpu_count() or 1


_INITIALIZER = "_ZN5mxnet18LibraryInitializer"


def _renew_workers() -> None:
    """Let the engine end its threads and start others, as it does whenever the process forks.

    What oneDNN has prepared for a shape belongs to a thread of the engine and holds buffers for the number of
    threads of that moment: run with more, it writes past their ends. New threads have prepared nothing.
    """
    names = [_INITIALIZER + name for name in ("3GetEv", "14atfork_prepareEv", "13atfork_parentEv")]
    if not all(hasattr(_LIB, name) for name in names) or os.environ.get("MXNET_ENGINE_TYPE") == "NaiveEngine":
        raise RuntimeError("this MXNet, or its engine, cannot renew its threads, and what they have prepared must not "
                           "run with another number; set OMP_NUM_THREADS before MXNet is imported")
    get, end, begin = (getattr(_LIB, name) for name in names)
    get.restype, end.argtypes, begin.argtypes = ctypes.c_void_p, (ctypes.c_void_p,), (ctypes.c_void_p,)
    this = get()
    nd.waitall()    # what is queued would be lost
    end(this)
    begin(this)


class _Limit:
    """The most threads that MXNet's simple operators use, a field of an object of its library.

    There is a function to read it but none to set it, so its place is made sure of by what that function says.
    Where it is somewhere else, the limit stays as it is.
    """

    _GET, _READ = "_ZN5mxnet6engine6OpenMP3GetEv", "_ZNK5mxnet6engine6OpenMP28GetRecommendedOMPThreadCountEb"

    def __init__(self, field: ctypes.c_int) -> None:
        self._field = field

    @classmethod
    def find(cls) -> Optional[_Limit]:
        """The limit, or None where it cannot be told, or where there is none (``OMP_NUM_THREADS`` is set)."""
        if not (hasattr(_LIB, cls._GET) and hasattr(_LIB, cls._READ)):
            return None
        get, read = getattr(_LIB, cls._GET), getattr(_LIB, cls._READ)
        get.restype, read.argtypes, read.restype = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_bool), ctypes.c_int
        this = get()
        # bool enabled, int limit, int reserved, bool set by the environment
        enabled, given = (ctypes.c_bool.from_address(this + at).value for at in (0, 12))
        limit, reserved = (ctypes.c_int.from_address(this + at) for at in (4, 8))
        if not enabled or given or reserved.value:
            return None
        own, found = int(_LIB.omp_get_max_threads()), limit.value
        try:
            _LIB.omp_set_num_threads(4096)      # for this thread and this moment: only the limit is left to bind
            return cls(limit) if found > 0 and read(this, True) == found else None
        finally:
            _LIB.omp_set_num_threads(own)

    def get(self) -> int:
        return self._field.value

    def set(self, value: int) -> None:
        self._field.value = value


def _on_engine(function: Callable) -> List:
    """What ``function`` returns on each of the threads on which MXNet runs the operators of ``mx.cpu(0)``."""
    if not (hasattr(_LIB, "MXEnginePushSyncND") and hasattr(_LIB, "MXSetNumOMPThreads")
            and hasattr(_LIB, "omp_get_max_threads")):
        raise RuntimeError("this MXNet does not let its threads be reached; set OMP_NUM_THREADS before it is imported")
    if os.environ.get("MXNET_ENGINE_TYPE") == "ThreadedEngine":     # one pool, and no telling which thread is next
        raise RuntimeError("MXNET_ENGINE_TYPE=ThreadedEngine runs operators on any thread of a pool; set "
                           "OMP_NUM_THREADS before MXNet is imported, or leave the engine to MXNet")
    workers = _workers()
    gate = threading.Barrier(workers)       # so that no thread takes two of the calls
    calls = [_Call(function, gate if workers > 1 else None) for _ in range(workers)]
    for call in calls:
        call.push()
    results = []
    for call in calls:
        results.append(call.result())
    return results


def _workers() -> int:
    """Number of the engine's threads for one context."""
    if os.environ.get("MXNET_ENGINE_TYPE") == "NaiveEngine":
        return 1
    told = os.environ.get("MXNET_CPU_WORKER_NTHREADS", "")
    return max(1, int(told)) if told.isdigit() and os.getpid() == _imported_by else 1


_imported_by = os.getpid()


class _Context(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("id", ctypes.c_int32)]


class _Call:
    """One call of a Python function as an operation of the engine."""

    def __init__(self, function: Callable, gate: Optional[threading.Barrier]) -> None:
        self._function, self._gate = function, gate
        self._done, self._value = threading.Event(), None
        self._error: Optional[Exception] = None
        self._callback = _Function(self._run)
        self._array = nd.zeros((1,), ctx=cpu(0))
        self._array.wait_to_read()
        self._arrays = (ctypes.c_void_p * 1)(self._array.handle)
        self._context = _Context(1, 0)

    def push(self) -> None:
        _pending[id(self)] = self
        check_call(_LIB.MXEnginePushSyncND(
            self._callback, None, None, ctypes.byref(self._context), None, ctypes.c_int(0), self._arrays,
            ctypes.c_int(1), None, ctypes.c_int(0), b"tune_threads", ctypes.c_bool(False)))

    def _run(self, *_: object) -> None:
        try:
            if self._gate is not None:
                self._gate.wait(10.0)
            self._value = self._function()
        except Exception as error:      # raised where it can be seen
            self._error = error
        self._done.set()

    def result(self) -> Any:
        if not self._done.wait(_PATIENCE):
            raise RuntimeError(f"MXNet's engine did not come to this call within {_PATIENCE:g} s; it has too much to "
                               "do, or it is stuck: call mx.nd.waitall() before to find out")
        self._array.wait_to_read()      # the engine is through with it
        _pending.pop(id(self), None)
        if self._error is not None:
            raise RuntimeError("the number of threads could not be changed on MXNet's engine") from self._error
        return self._value
