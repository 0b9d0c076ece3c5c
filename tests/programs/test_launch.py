"""scripts/launch: what it starts and how, what it says, and that nothing of it stays behind."""
import getpass
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "scripts" / "launch"
pytestmark = pytest.mark.skipif(not LAUNCH.exists() or sys.platform != "linux", reason="needs a checkout, and /proc")
sys.path.insert(0, str(ROOT / "scripts"))


def launch(*arguments, timeout=60, **env):
    return subprocess.run([sys.executable, str(LAUNCH), *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, env={**os.environ, **env})


def shell(script):
    return ["--", "sh", "-c", script]


def lines(done):
    return sorted(done.stdout.splitlines())


SAY = "echo $DMLC_ROLE of $DMLC_NUM_WORKER and $DMLC_NUM_SERVER; [ $DMLC_ROLE = worker ] || exec sleep 3"


def test_roles_are_started_and_lines_are_named():
    done = launch("--workers", 3, "--servers", 2, *shell(SAY + "; printf 'no end of line'; echo bad >&2; sleep 1"))
    named = [f"{role} {k} | {role} of 3 and 2" for role, n in (("scheduler", 1), ("server", 2), ("worker", 3))
             for k in range(n)] + [f"worker {k} | no end of line" for k in range(3)]
    assert done.returncode == 0 and lines(done) == sorted(named), done
    assert sorted(done.stderr.splitlines()) == [f"worker {k} | bad" for k in range(3)]


def test_the_status_is_that_of_who_failed_and_all_are_stopped(tmp_path):
    script = f"echo $$ >> {tmp_path}/pids; [ $DMLC_ROLE = server ] && sleep 1 && exit 42; sleep 1000000"
    done = launch("--workers", 2, *shell(script))
    assert done.returncode == 42
    assert "launch | server 0 has failed with status 42; the others are stopped" in done.stderr
    none_is_left(tmp_path, 4)


def test_a_killed_worker_has_the_status_of_a_shell():
    done = launch("--workers", 1, *shell("[ $DMLC_ROLE = worker ] && kill -9 $$; sleep 100"))
    assert done.returncode == 137 and "worker 0 has ended by SIGKILL" in done.stderr


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def none_is_left(folder, expected, within=20.0):
    pids = (folder / "pids").read_text().split()
    assert len(pids) == expected
    end = time.monotonic() + within
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not [pid for pid in pids if alive(pid)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_nothing_is_left_behind(tmp_path, number):
    """Nor what a process has started itself, here a sleep beside each."""
    script = f"sleep 300 & echo $! $$ >> {tmp_path}/pids; exec sleep 300"
    job = subprocess.Popen([sys.executable, str(LAUNCH), "--workers", "2", *shell(script)], stderr=subprocess.PIPE,
                           text=True)
    end = time.monotonic() + 20
    while time.monotonic() < end and (not (tmp_path / "pids").exists()
                                      or len((tmp_path / "pids").read_text().split()) < 8):
        time.sleep(0.05)
    os.kill(job.pid, number)
    _, said = job.communicate(timeout=30)
    if number == signal.SIGKILL:
        assert job.returncode == -9
    else:
        assert job.returncode == 128 + number and f"{number.name}: all processes are stopped" in said
    none_is_left(tmp_path, 8)


def test_a_process_that_does_not_listen_is_ended(tmp_path):
    """After the time it is given, which is shorter here."""
    copy = tmp_path / "scripts"
    copy.mkdir()
    shutil.copytree(ROOT / "scripts" / "_launch", copy / "_launch")
    (copy / "launch").write_text(LAUNCH.read_text().replace("GRACE = 12.0", "GRACE = 1.0"))
    script = (f"trap '' TERM; echo $$ >> {tmp_path}/pids; [ $DMLC_ROLE = worker ] && sleep 1 && exit 3; "
              "sleep 1000000; sleep 1000000")
    done = subprocess.run([sys.executable, str(copy / "launch"), "--workers", "1", *shell(script)], capture_output=True)
    assert done.returncode == 3
    none_is_left(tmp_path, 3)


def test_cores_are_shared_among_the_workers_of_a_machine():
    cores = len(os.sched_getaffinity(0))
    script = "[ $DMLC_ROLE = worker ] && echo $OMP_NUM_THREADS $MINE $PORT && exit; exec sleep 3"
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, str(LAUNCH), "--workers", "2", "--env", "MINE=a b", *shell(script)], env=env,
                          capture_output=True, text=True, timeout=60)
    told = [line.split("| ")[1].split() for line in lines(done)]
    assert [t[:3] for t in told] == [[str(max(1, cores // 2)), "a", "b"]] * 2
    assert int(told[1][3]) == int(told[0][3]) + 1       # MXNet numbers the workers of a machine by it


@pytest.mark.parametrize("arguments, said", [
    ([], "no program is given; write scripts/launch --workers 2 -- python train.py"),
    (["--workers", "0", "--", "true"], "--workers 0: write a number from 1"),
    (["--env", "A", "--", "true"], "--env A: write NAME=VALUE"),
    (["--hosts", "none.txt", "--", "true"], "--hosts none.txt: No such file"),
])
def test_wrong_calls(arguments, said):
    done = launch(*arguments)
    assert done.returncode == 2 and said in done.stderr


@pytest.mark.parametrize("text, said", [
    ("127.0.0.1 slot=2", "line 1: 'slot=2' is not understood; write: 127.0.0.1 slots=2"),
    ("# none\n", "names no host"),
    ("127.0.0.1\n127.0.0.1", "line 2: 127.0.0.1 is there twice; write 127.0.0.1 slots=2"),
    ("no-such-host.invalid", "the host no-such-host.invalid has no address here"),
])
def test_wrong_host_files(tmp_path, text, said):
    (tmp_path / "hosts").write_text(text)
    done = launch("--hosts", tmp_path / "hosts", "--", "true")
    assert done.returncode == 2 and said in " ".join(done.stderr.split())


def test_help_has_examples():
    done = launch("--help")
    assert done.returncode == 0 and "scripts/launch --hosts hosts.txt --workers 8" in done.stdout


def test_a_program_that_is_not_there():
    done = launch("--workers", 1, "--", "/no/such/program")
    assert done.returncode == 127 and "cannot be started: [Errno 2] No such file" in done.stderr


def test_workers_are_shared_out_as_mxnet_numbers_them():
    from _launch import hosts as machines

    hosts = [machines.Host("a", "10.0.0.7", 2), machines.Host("b", "10.0.0.9"), machines.Host("c", "10.0.0.10")]
    found = machines.share_out(hosts, 5, 2)
    assert [(h.name, h.workers, h.servers) for h in found] == [("b", 2, 1), ("a", 2, 1), ("c", 1, 0)]


# ---------------------------------------------------------------- over ssh

def on_two_addresses(folder, slots=1):
    (folder / "hosts").write_text(f"127.0.0.2 slots={slots}\n127.0.0.3   # the greater text comes first\n")
    return folder / "hosts"


REMOTE = f"echo $DMLC_ROLE at $DMLC_NODE_HOST in $PWD; {SAY.partition(';')[2]}; sleep 1"


def expected():
    return sorted([f"scheduler 0 | scheduler at 127.0.0.1 in {ROOT}", f"server 0 | server at 127.0.0.3 in {ROOT}",
                   f"worker 0 | worker at 127.0.0.3 in {ROOT}", f"worker 1 | worker at 127.0.0.2 in {ROOT}"])


def test_what_ssh_is_asked(tmp_path):
    """By a substitute that does here what the other machine would: its shell gets the words after the host."""
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\nwhile [ "$1" = -o ]; do shift 2; done\necho "$1" >> {tmp_path}/asked\nshift\ncd /\n'
                   'exec env -i HOME="$HOME" PATH="$PATH" sh -c "$*"\n')
    ssh.chmod(ssh.stat().st_mode | stat.S_IXUSR)
    done = subprocess.run([sys.executable, str(LAUNCH), "--hosts", str(on_two_addresses(tmp_path)), "--root",
                           "127.0.0.1", *shell(REMOTE)], cwd=ROOT, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PATH": f"{ssh.parent}:{os.environ['PATH']}"})
    assert done.returncode == 0 and lines(done) == expected(), done
    assert sorted((tmp_path / "asked").read_text().split()) == ["127.0.0.2", "127.0.0.3", "127.0.0.3"]


@pytest.fixture
def sshd(tmp_path):
    """A server of ssh on this machine, with keys of its own; the command that reaches it."""
    server = shutil.which("sshd") or "/usr/sbin/sshd"
    if not (os.path.exists(server) and shutil.which("ssh")):
        pytest.skip("needs sshd and ssh (Debian: openssh-server, openssh-client)")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    (tmp_path / "allowed").write_text((tmp_path / "user.pub").read_text())
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    (tmp_path / "config").write_text(f"Port {port}\nListenAddress 0.0.0.0\nHostKey {tmp_path}/host\nStrictModes no\n"
                                     f"AuthorizedKeysFile {tmp_path}/allowed\nPasswordAuthentication no\nUsePAM no\n"
                                     f"PermitRootLogin yes\nPidFile {tmp_path}/pid\n")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    process = subprocess.Popen([server, "-D", "-e", "-f", str(tmp_path / "config")], stderr=subprocess.PIPE)
    command = (f"ssh -p {port} -i {tmp_path}/user -l {getpass.getuser()} -o StrictHostKeyChecking=no "
               f"-o UserKnownHostsFile={tmp_path}/known -o LogLevel=ERROR")
    try:
        for _ in range(50):
            if subprocess.run([*command.split(), "-o", "BatchMode=yes", "127.0.0.1", "true"]).returncode == 0:
                break
            time.sleep(0.1)
        else:
            process.terminate()
            pytest.skip(f"sshd does not serve here: {process.communicate()[1].decode()[-300:]}")
        yield command
    finally:
        process.terminate()
        process.communicate()


def test_over_ssh(tmp_path, sshd):
    done = subprocess.run([sys.executable, str(LAUNCH), "--hosts", str(on_two_addresses(tmp_path)), "--root",
                           "127.0.0.1", "--ssh", sshd, *shell(REMOTE)], cwd=ROOT, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0 and lines(done) == expected(), done


def test_over_ssh_nothing_is_left_behind(tmp_path, sshd):
    """The launcher is killed, and with it its ends of the connections."""
    script = f"sleep 300 & echo $! $$ >> {tmp_path}/pids; exec sleep 300"
    job = subprocess.Popen([sys.executable, str(LAUNCH), "--hosts", str(on_two_addresses(tmp_path)), "--root",
                            "127.0.0.1", "--ssh", sshd, *shell(script)], cwd=ROOT, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while time.monotonic() < end and (not (tmp_path / "pids").exists()
                                      or len((tmp_path / "pids").read_text().split()) < 8):
        time.sleep(0.05)
    job.kill()
    job.wait()
    none_is_left(tmp_path, 8)
