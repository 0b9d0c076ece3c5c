"""The CUDA source on the host, through a C++ compiler: slow, and exact.

Products and sums are not merged, as on the GPU (``cuda_source.OPTIONS``), so that both give the same bits.
"""
from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from typing import List, Sequence

import numpy as np

__all__ = ["COMPILER", "library", "run", "share"]

HERE = os.path.dirname(os.path.abspath(__file__))
HEADER = "on_host.h"
_lock = threading.Lock()
_shared: List[str] = []
_made: List[tempfile.TemporaryDirectory] = []
COMPILER = next(filter(None, map(shutil.which, (os.environ.get("CXX") or "c++", "g++", "clang++"))), None)
FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-U_FORTIFY_SOURCE", "-fPIC", "-shared", "-Wall", "-Werror",
         "-Wno-unknown-pragmas")
LIBRARIES = ("-nostdlib", "-lm", "-lc")     # nothing of C++'s own is called, and to look through it takes a sixth


def run(source: str, kernel: str, values: Sequence[np.ndarray], blocks: int, threads: int,
        backwards: bool = False, first: int = 0) -> None:
    """Run a kernel of a source. ``values``: for a pointer the array, in place; for a number an array without axes.

    ``backwards`` lets the threads of a block, and the blocks, take turns in reverse. Blocks before ``first`` are left
    out.
    """
    pointers = [ctypes.c_void_p(v.ctypes.data) if v.ndim else v for v in values]
    addresses = [ctypes.addressof(p) if isinstance(p, ctypes.c_void_p) else p.ctypes.data for p in pointers]
    args = (ctypes.c_void_p * len(addresses))(*addresses)
    if getattr(library(source), f"run_{kernel}")(args, first, blocks, threads, int(backwards)):
        raise RuntimeError(f"{kernel}: not all threads of a block reached the barrier")


@functools.lru_cache(maxsize=None)
def library(source: str) -> ctypes.CDLL:
    """The library of one source; compiled once."""
    kernels = ["step"]
    defined = dict(re.findall(r"^#define (KIND|STREAM) (\w+)$", source.split("\n/*")[0], re.MULTILINE))
    kernels += ["finish"] if defined["KIND"] in "24" else []
    kernels += ["words", "normals"] if defined["STREAM"] == "1" else []
    text = "\n".join([f'#include "{HEADER}"', source, *(f"RUN_ON_HOST({name})" for name in kernels), ""])
    with _lock:     # several sources are compiled at once, and there is one folder
        folder = _folder()
    base = os.path.join(folder, hashlib.sha1(text.encode()).hexdigest())
    if not os.path.exists(base + ".so"):
        own = f"{base}.{os.getpid()}"       # another process may be at it, and none may find half of a library
        with open(own + ".cpp", "w") as f:
            f.write(text)
        _compile(["-I", folder, "-I", HERE, "-o", own + ".so", own + ".cpp", *LIBRARIES])
        os.replace(own + ".so", base + ".so")
    return ctypes.CDLL(base + ".so")


def share(folder: str) -> None:
    """Compile into this folder from now on, and take what other processes have compiled there.

    They have to take turns here, for the first compiles the header.
    """
    if not os.path.exists(os.path.join(folder, HEADER + ".gch")):
        _compile_header(folder)
    _shared.append(folder)
    _folder.cache_clear()


def _compile(arguments: Sequence[str]) -> None:
    done = subprocess.run([COMPILER, *FLAGS, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{COMPILER} does not compile step.cu: {done.stdout.strip()}")


def _compile_header(folder: str) -> None:
    """The header in front of all sources, compiled, which GCC reads faster."""
    _compile(["-Wno-all", "-x", "c++-header", os.path.join(HERE, HEADER), "-o", os.path.join(folder, HEADER + ".gch")])


@functools.lru_cache(maxsize=None)
def _folder() -> str:
    """Where sources and libraries are put: the last that was shared, or else one of this process alone."""
    if _shared:
        return _shared[-1]
    made = tempfile.TemporaryDirectory()
    _made.append(made)      # it goes with the process
    _compile_header(made.name)
    return made.name
