"""A scheduler of dask and its workers as processes of their own, on loopback; and a connection that can be cut."""
import os
import select
import signal
import socket
import threading

from forks import Process
from small_chains import await_that

# Workers that are not heard of are given up soon, and a task at the second worker that is lost with it.
_SETTINGS = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "3s", "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
             "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}

# As "dask scheduler" and "dask worker", with the log's place in front of the options.
_PROGRAM = """
import importlib, os, sys
import dask
os.setsid()
log = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
os.dup2(log, 1)
os.dup2(log, 2)
dask.config.refresh()       # by this process's environment
importlib.import_module("distributed.cli.dask_" + sys.argv.pop(1)).main()
"""


class Cluster:
    """``with Cluster(folder) as cluster: cluster.worker()``; what is left of it ends with the block."""

    def __init__(self, folder):
        self._folder, self._processes, self.workers = folder, [], []

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-show")
        await_that(lambda: socket.create_connection(("127.0.0.1", self.port)).close() or True, "the scheduler")
        return self

    def __exit__(self, *exc):
        self._end(self._processes)

    @property
    def address(self):
        return f"tcp://127.0.0.1:{self.port}"

    def worker(self, address=None):
        """One more worker, of one thread, which has imported all before it takes anything."""
        name = f"worker-{len(self._processes)}"
        process = self._start("worker", address or self.address, "--nthreads", "1", "--nworkers", "1", "--name", name,
                              "--host", "127.0.0.1", "--no-dashboard", "--memory-limit", "0", "--local-directory",
                              str(self._folder / name), "--no-nanny", "--preload", "sgmcmc_mx")
        self.workers.append(process)
        return process

    def retire(self):
        """End all workers."""
        self._end(self.workers)
        self.workers.clear()

    @staticmethod
    def _end(processes):
        for process in processes:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait(20)

    def kill_scheduler(self):
        self._end(self._processes[:1])

    def said(self):
        """What all of them have said."""
        return "".join(path.read_text() for path in self._folder.glob("*.log"))

    def _start(self, what, *options):
        log = self._folder / f"{what}-{len(self._processes)}.log"
        self._processes.append(Process(_PROGRAM, log, what, *options, env=_SETTINGS))
        return self._processes[-1]


class Line:
    """A port that leads to another, until it is cut; ``mend`` lets new connections through."""

    def __init__(self, port):
        self._to, self._open, self._pairs = port, True, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        self._open = False
        for pair in self._pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self._pairs.clear()

    def mend(self):
        self._open = True

    def close(self):
        self.cut()
        self._listener.close()

    def _accept(self):
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            if not self._open:
                here.close()
                continue
            pair = here, socket.create_connection(("127.0.0.1", self._to))
            self._pairs.append(pair)
            threading.Thread(target=_carry, args=pair, daemon=True).start()


def _carry(a, b):
    with a, b:
        while True:
            try:
                for end in select.select([a, b], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    (b if end is a else a).sendall(data)
            except (OSError, ValueError):
                return
