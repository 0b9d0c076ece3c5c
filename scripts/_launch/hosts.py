"""The machines of a job: which, by what address, and how many workers and servers on each."""
import os
import socket


class Wrong(Exception):
    """What the user has to change."""


class Host:
    """A machine: ``name`` as ssh knows it (None: this one), and the address at which the others reach it."""

    def __init__(self, name, address, slots=1):
        self.name, self.address, self.slots = name, address, slots
        self.workers = self.servers = 0

    def __repr__(self):
        return f"Host({self.name!r}, {self.address!r}, {self.slots})"


def read(path):
    """The hosts of a file: a name a line, as ssh takes it, and slots=N if it shall have more workers than one."""
    found, seen = [], set()
    try:
        with open(path) as f:
            lines = f.read().splitlines()
    except OSError as e:
        raise Wrong(f"--hosts {path}: {e.strerror}") from None
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        slots = 1
        for word in words[1:]:
            key, _, value = word.partition("=")
            if key != "slots" or not value.isdigit() or int(value) < 1:
                raise Wrong(f"{path}, line {number}: {word!r} is not understood; write: {words[0]} slots=2")
            slots = int(value)
        if words[0] in seen:
            raise Wrong(f"{path}, line {number}: {words[0]} is there twice; write {words[0]} slots=2")
        seen.add(words[0])
        found.append(Host(words[0], address_of(words[0]), slots))
    if not found:
        raise Wrong(f"{path} names no host; write one a line")
    return found


def address_of(name):
    """The address of a host, which must be one that all machines of the job reach."""
    name = name.rpartition("@")[2]
    try:
        return socket.gethostbyname(name)
    except OSError:
        raise Wrong(f"the host {name} has no address here; write its name as in the DNS, or its address") from None


def share_out(hosts, workers, servers):
    """Give every host its workers, slots first, and its servers, in turn.

    In the order in which MXNet numbers workers, which is by address, the greatest text first: so the launcher's numbers
    are those of the job, and worker 0, which writes the store, is on the same machine at every launch.
    """
    hosts = sorted(hosts, key=lambda host: host.address, reverse=True)
    left = workers
    while left:
        for host in hosts:
            for _ in range(min(host.slots, left)):
                host.workers, left = host.workers + 1, left - 1
    for k in range(servers):
        hosts[k % len(hosts)].servers += 1
    return [host for host in hosts if host.workers or host.servers]


def own_address(towards):
    """This machine's address as another one sees it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:     # nothing is sent
        s.connect((towards, 9))
        return s.getsockname()[0]


def free_port(address=""):
    """A port that nobody uses at the moment."""
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def ports(count):
    """So many ports in a row, below those that systems hand out, different ones for jobs side by side."""
    return [20000 + 64 * (os.getpid() % 190) + k for k in range(count)]
