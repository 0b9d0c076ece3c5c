"""The server that forks the tests' processes: one thread, and each process's own end is told to who waits for it."""
import os
import signal

from forks import Process, run

# Tells its parent's number, waits for a word, and ends with the status that the word is.
WAITS = """
import os, sys
print(os.getppid(), flush=True)
sys.exit(int(sys.stdin.readline()))
"""


def test_no_thread_stands_beside_a_fork():
    """It could hold a lock, of the allocator say, that the new process would then wait for.

    MXNet ends its own threads before a fork and begins them again, however many processes there are.
    """
    processes = [Process(WAITS) for _ in range(5)]
    server, = {int(process.stdout.readline()) for process in processes}

    def threads():
        return {len(os.listdir(f"/proc/{server}/task")) for _ in range(500)}

    beside = threads()
    for process in processes:
        process.communicate("0\n", timeout=300)
    assert beside & threads(), (beside, threads())


def test_each_end_is_its_own():
    """They end in another order than they began in, two of them before anybody asks."""
    first, second, third, fourth = (Process(WAITS) for _ in range(4))
    os.kill(second.pid, signal.SIGKILL)
    assert second.wait(300) == -signal.SIGKILL
    fourth.communicate("4\n", timeout=300)
    first.communicate("1\n", timeout=300)
    os.kill(third.pid, signal.SIGTERM)
    assert [process.wait(300) for process in (first, third, fourth)] == [1, -signal.SIGTERM, 4]


def test_a_process_has_nothing_of_the_servers():
    """Its children are its own, and signals are as they are in any process."""
    done = run("""
        import os, signal, subprocess, sys
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL and signal.set_wakeup_fd(-1) == -1
        print(subprocess.run([sys.executable, "-c", "print(7)"], stdout=subprocess.PIPE, text=True).stdout.strip())
        print(len(os.listdir("/proc/self/fd")))
        """)
    seven, handles = done.stdout.split()
    assert seven == "7" and int(handles) < 12, (done.stdout, done.stderr)
