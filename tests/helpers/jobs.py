"""Jobs of real processes on this machine: a scheduler, servers and workers, by scripts/launch or one by one.

Those of :func:`started` and :func:`forked` import no MXNet of their own (see ``forks``), and nobody watches over them:
a worker ends because it knows that another has failed. Servers have imported MXNet before they serve. Those that
unpickle a sampler in the middle of that import are in tests/samplers/test_distributed.py.
"""
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from typing import Dict, List, NamedTuple, Tuple

from folders import HELPERS, ROOT
from forks import Process

LAUNCH = ROOT / "scripts" / "launch"


class Done(NamedTuple):
    """What came of a process or of a job."""

    code: int
    out: List[str]
    err: str
    seconds: float

    def of(self, name: str) -> List[str]:
        """The lines of one process of a launched job."""
        return [line[len(name) + 3:] for line in self.out if line.startswith(f"{name} | ")]


def surroundings(**more: object) -> Dict[str, str]:
    """The environment of a job's processes."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("DMLC_")}
    return {**env, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1",
            **{name: str(value) for name, value in more.items()}}


def program(**options: object) -> List[str]:
    """The command of a worker that makes a small chain; see helpers/worker.py."""
    return [sys.executable, "-W", "ignore", str(HELPERS / "worker.py"), json.dumps(options)]


def launched(command, *options, timeout=120, **env) -> Done:
    """A job by scripts/launch, to its end."""
    start = time.monotonic()
    done = subprocess.run([sys.executable, str(LAUNCH), *map(str, options), "--", *command], env=surroundings(**env),
                          capture_output=True, text=True, timeout=timeout)
    return Done(done.returncode, done.stdout.splitlines(), done.stderr, time.monotonic() - start)


# MXNet asks which role a process has when it is imported; here it has been.
SERVE = """
from mxnet.kvstore.kvstore_server import _init_kvstore_server_module
_init_kvstore_server_module()
"""

# What a new process lets go of by itself, a forked one still has when MXNet's library ends, which then aborts.
LET_GO = """
import atexit
@atexit.register
def let_go(mine=globals()):
    import gc
    from sgmcmc_mx.workers.group import Group
    Group._all.clear()
    mine.clear()
    gc.collect()
"""


def worker(**options: object) -> Tuple[str, str]:
    """Code and argument of a worker that makes a small chain, for :func:`started`; see helpers/worker.py."""
    return f"import runpy; runpy.run_path({str(HELPERS / 'worker.py')!r}, run_name='__main__')", json.dumps(options)


@contextlib.contextmanager
def started(program, workers=2, servers=1, **env):
    """The processes of a job, by role and number; ``program`` is a worker's code and its arguments.

    They are killed in the end.
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = {"DMLC_PS_ROOT_URI": "127.0.0.1", "DMLC_PS_ROOT_PORT": port, "DMLC_NUM_SERVER": servers,
           "DMLC_NUM_WORKER": workers, "DMLC_NODE_HOST": "127.0.0.1", **env}
    first = 20000 + 64 * (port % 190)      # MXNet numbers workers by their ports
    roles = [("scheduler", 0), *(("server", k) for k in range(servers)), *(("worker", k) for k in range(workers))]
    processes = {}
    try:
        for role, k in roles:
            own = {**env, "DMLC_ROLE": role, **({"PORT": first + k} if role == "worker" else {})}
            code, *arguments = program if role == "worker" else [SERVE]
            processes[role, k] = Process(LET_GO + code, *arguments,
                                         env={name: str(value) for name, value in own.items()})
        yield processes
    finally:
        for process in processes.values():
            if process.returncode is None:
                process.kill()
                process.communicate()


def end_of(process, timeout) -> Done:
    """Wait for a process; what it said."""
    start = time.monotonic()
    out, err = process.communicate(timeout=timeout)
    return Done(process.returncode, out.splitlines(), err, time.monotonic() - start)


def forked(program, workers=2, timeout=60, **options) -> List[Done]:
    """What came of each worker of a job, when all of them have ended."""
    with started(program, workers, **options) as processes:
        return [end_of(processes["worker", k], timeout) for k in range(workers)]
