"""Stands beside one process of a job, on its machine: starts it, and ends it when whoever asked for it is gone.

Standard library only, and one file: over ssh its text is given to python3 on the other machine. It reads words from its
standard input: TERM and KILL are signals for the process and all that it has started; the end of the input, which comes
when the launcher or the connection dies, is both of them, one after the other.
"""
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time


def threads(workers):
    """Threads of each of so many workers on this machine: more than there are cores make all of them wait."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // max(1, workers))


def die_with_me():
    """Of the child: end when this guard is killed, which it cannot prevent. Linux only."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        pass


def tell(group, number):
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


def obey(child, grace):
    """Do what is said until nothing more can be said."""
    words = {b"TERM\n": signal.SIGTERM, b"INT\n": signal.SIGINT, b"KILL\n": signal.SIGKILL}
    for line in iter(sys.stdin.buffer.readline, b""):
        if line in words:
            tell(child.pid, words[line])
    tell(child.pid, signal.SIGTERM)
    time.sleep(grace)
    tell(child.pid, signal.SIGKILL)


def main():
    about = json.loads(sys.argv[1])
    env = {**os.environ, **about["env"]}
    share = threads(about["workers"])
    for name, number in (("OMP_NUM_THREADS", share if about["role"] == "worker" else 1),
                         ("MXNET_KVSTORE_REDUCTION_NTHREADS", min(4, share))):      # 4 is MXNet's default
        if not env.get(name):
            env[name] = str(number)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)       # the launcher says what is to be done

    def prepare():
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        die_with_me()

    try:
        os.chdir(about["folder"])
        child = subprocess.Popen(about["command"], env=env, stdin=subprocess.DEVNULL, preexec_fn=prepare)
    except OSError as e:
        print(f"cannot be started: {e}", file=sys.stderr, flush=True)
        return 127
    threading.Thread(target=obey, args=(child, about["grace"]), daemon=True).start()
    status = child.wait()
    tell(child.pid, signal.SIGKILL)     # what it has left behind
    return 128 - status if status < 0 else status


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)      # another thread waits for input
