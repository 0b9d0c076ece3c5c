"""How the native step is compiled. Imports nothing of the package, so that a build can load it by its path."""
from __future__ import annotations

import glob
import os
import subprocess
import sys

__all__ = ["FLAGS", "command"]

HERE = os.path.dirname(os.path.abspath(__file__))
# Never -ffast-math: linked into a shared library it turns on flush-to-zero for the whole process. What the results
# depend on stands in the source.
FLAGS = ("-O3", "-fPIC", "-shared", "-fno-math-errno", "-fvisibility=hidden")


def command(output: str, compiler: str = "cc", openmp: bool = True) -> list:
    """The compiler's command line that turns ``src/*.c`` into the library ``output``."""
    sources = sorted(glob.glob(os.path.join(HERE, "src", "*.c")))
    return [compiler, *FLAGS, *(["-fopenmp"] if openmp else []), "-o", output, *sources, "-lm"]


if __name__ == "__main__":
    target = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "_step.so")
    partial = f"{target}.{os.getpid()}.tmp"
    subprocess.run(command(partial, os.environ.get("CC", "cc")), check=True)
    os.replace(partial, target)     # a process that has the old library loaded keeps it
