"""Whether a compiled library runs where the wheel's tag says it does.

manylinux_2_28 promises glibc 2.28 or newer and nothing else of note, so no symbol may be of a later version. libgomp is
not promised, and not in the wheel: MXNet's library links to the system's, and with a second one in the process each
would have threads of its own. The step shares the one that MXNet has loaded. Distributions of glibc 2.28 have that of
GCC 8, so its symbols are held to what GCC 8 knew.
"""

import re

from . import Failure, run

__all__ = ["GLIBC", "check"]

GLIBC = (2, 28)
NEWEST = {"GLIBC": GLIBC, "GOMP": (4, 5), "OMP": (4, 5), "GCC": (8,)}
LIBRARIES = re.compile(r"(libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libgcc_s\.so\.1|libgomp\.so\.1|ld-linux.*\.so\.\d)")


def check(library):
    """Raise a :class:`Failure` that names what keeps ``library`` from running there."""
    for name in re.findall(r"\(NEEDED\).*\[(.+)\]", _readelf("--dynamic", library)):
        if not LIBRARIES.fullmatch(name):
            raise Failure(
                f"the native step needs {name}, which is neither in the wheel nor on every machine; build with GCC "
                "(CC=gcc), whose OpenMP is the one that MXNet uses"
            )
    newer = [f"{symbol} ({version})" for symbol, version in needed(library) if not _is_old_enough(version)]
    if newer:
        raise Failure(
            f"the native step needs {', '.join(newer)}, newer than glibc {'.'.join(map(str, GLIBC))} and GCC 8; the "
            "wheel's tag would be untrue. Do without it in sgmcmc_mx/kernels/src, or compile on an older distribution"
        )


def needed(library):
    """Pairs of symbol and version that the library takes from others."""
    return re.findall(r"\bUND\s+([^\s@]+)@+(\S+)", _readelf("--dyn-syms", library))


def _is_old_enough(version):
    family, _, number = version.partition("_")
    if family not in NEWEST or not re.fullmatch(r"\d+(\.\d+)*", number):
        return False
    return tuple(map(int, number.split("."))) <= NEWEST[family]


def _readelf(option, library):
    return run(["env", "LC_ALL=C", "readelf", "--wide", option, library])
