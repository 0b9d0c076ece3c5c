"""Processes that need not import MXNet, which takes 2 s: a server of the tests has imported it, and forks them.

The server has used nothing of MXNet. What it forks runs its code at the top of ``__main__`` and ends as any process
does. What is read while MXNet is imported or before its first use (OMP_NUM_THREADS, MXNET_*) is as the server found it;
a test of those needs a process that is really new.
An order is a message on a socket, ``[code, folder, environment, *arguments]`` in JSON, with the process's standard
input, output and error, and a pipe on which the server answers: its number, and at its end the status of ``waitpid``.
"""
import array
import atexit
import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
MOST = 1 << 16      # bytes of an order


class Process:
    """What ``subprocess.Popen`` is to a process, as far as tests use it. ``env`` is added to the environment."""

    _server = None

    def __init__(self, code, *arguments, cwd=None, env=None):
        theirs, pipes = [], []
        for k in range(4):
            read, write = os.pipe()
            theirs.append(write if k else read)
            pipes.append(open(read) if k else open(write, "w"))
        self.stdin, self.stdout, self.stderr, self._answers = pipes
        self.returncode = None
        order = json.dumps([code, cwd and str(cwd), env or {}, *map(str, arguments)]).encode()
        self._running().sendmsg([order], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", theirs))])
        for handle in theirs:
            os.close(handle)
        self.pid = int(self._answers.readline())

    @classmethod
    def _running(cls):
        """The socket to the server, which is started if there is none yet."""
        if cls._server is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            env = {**os.environ, "PYTHONPATH": os.pathsep.join([HERE, *filter(None, sys.path)])}
            if env.pop("SGMCMC_MX_TESTS_THREADS", None):    # for this process alone
                del env["OMP_NUM_THREADS"]
            server = subprocess.Popen([sys.executable, os.path.abspath(__file__), str(theirs.fileno())], env=env,
                                      pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            theirs.close()
            cls._server = ours
            atexit.register(lambda: (ours.close(), server.wait(30)))
        return cls._server

    def wait(self, timeout=None):
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            status = int(self._answers.readline())
            self._answers.close()
            self.returncode = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        return self.returncode

    def kill(self):
        """For one that has not been waited for; it may have ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def communicate(self, given="", timeout=None):
        found = {}
        readers = [threading.Thread(target=lambda pipe=pipe: found.update({pipe: pipe.read()}), daemon=True)
                   for pipe in (self.stdout, self.stderr)]
        for reader in readers:
            reader.start()
        self.stdin.write(given)
        self.stdin.close()
        for reader in readers:
            reader.join(timeout)
            if reader.is_alive():
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        self.wait(timeout)
        for pipe in (self.stdout, self.stderr):
            pipe.close()
        return found[self.stdout], found[self.stderr]


def run(code, *arguments, timeout=300, **options):
    """As ``subprocess.run`` of Python with this code: what it printed, and its status. It is ended where it hangs."""
    process = Process(textwrap.dedent(code), *arguments, **options)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(["-c", *arguments], process.returncode, out, err)


def serve(handle):
    """Fork a process for every order. Returns in the processes, with the code to run, and (nothing) at the end.

    One thread does it all. A thread beside it could hold a lock (of the allocator, say) at the moment of a fork, and
    the new process would wait for it for ever.
    """
    orders, forked = socket.socket(fileno=handle), {}
    heard, told = os.pipe()         # a byte for every signal: the end of a process is waited for together with orders
    os.set_blocking(told, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    while True:
        ready = select.select([orders, heard], [], [])[0]
        if heard in ready:
            os.read(heard, MOST)
            answer(forked)
        if orders not in ready:
            continue
        order, rights, _, _ = orders.recvmsg(MOST, socket.CMSG_SPACE(4 * array.array("i").itemsize))
        if not order:
            return ""
        handles = array.array("i", rights[0][2])
        process = os.fork()
        if process == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for mine in (heard, told, *forked.values()):
                os.close(mine)
            code, folder, environment, *arguments = json.loads(order)
            orders.close()
            os.environ.update(environment)
            os.chdir(folder or os.getcwd())
            for k, mine in enumerate(handles):
                if k < 3:
                    os.dup2(mine, k)
                os.close(mine)
            sys.argv = ["-c", *arguments]
            return code
        for mine in handles[:3]:
            os.close(mine)
        forked[process] = handles[3]
        tell(handles[3], process)


def answer(forked):
    """Tell who waits for a process how it ended, for all that have."""
    while forked:
        process, status = os.waitpid(-1, os.WNOHANG)
        if process == 0:
            return
        handle = forked.pop(process)
        tell(handle, status)
        os.close(handle)


def tell(handle, number):
    with contextlib.suppress(BrokenPipeError):      # nobody waits for it
        os.write(handle, b"%d\n" % number)


if __name__ == "__main__":
    import distributed.cli.dask_scheduler  # noqa: F401
    import distributed.cli.dask_worker  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import small_chains  # noqa: F401
    import small_stores  # noqa: F401  (and with it all else that the processes need)
    gc.collect()
    gc.freeze()
    _code = serve(int(sys.argv[1]))
    exec(compile(_code, "<string>", "exec"))
