"""Jobs of real processes on this machine: a scheduler, servers and workers, by scripts/launch or one by one."""
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from typing import Dict, List, NamedTuple

from folders import HELPERS, ROOT

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


@contextlib.contextmanager
def started(command, workers=2, servers=1, **env):
    """The processes of a job, by role and number, that nobody watches over; they are killed in the end."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = surroundings(DMLC_PS_ROOT_URI="127.0.0.1", DMLC_PS_ROOT_PORT=port, DMLC_NUM_SERVER=servers,
                       DMLC_NUM_WORKER=workers, DMLC_NODE_HOST="127.0.0.1", **env)
    first = 20000 + 64 * (port % 190)      # MXNet numbers workers by their ports
    roles = [("scheduler", 0), *(("server", k) for k in range(servers)), *(("worker", k) for k in range(workers))]
    processes = {}
    try:
        for role, k in roles:
            own = {"DMLC_ROLE": role, **({"PORT": str(first + k)} if role == "worker" else {})}
            processes[role, k] = subprocess.Popen(command, env={**env, **own}, stdout=subprocess.PIPE,
                                                  stderr=subprocess.PIPE, text=True)
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


def end_of(process, timeout) -> Done:
    """Wait for a process; what it said."""
    start = time.monotonic()
    out, err = process.communicate(timeout=timeout)
    return Done(process.returncode, out.splitlines(), err, time.monotonic() - start)
