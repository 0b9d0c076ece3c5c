"""The CUDA source of a step, and how its arguments are laid out. Needs neither MXNet nor a GPU.

``src/step.cu`` stands alone; a few definitions in front of it say which step it is. What :meth:`Program.source`
returns compiles with NVRTC (``mx.rtc``, CuPy) and nvcc, by :data:`OPTIONS`.
"""
from __future__ import annotations

import functools
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

__all__ = ["KINDS", "FORMS", "THREADS", "CHUNK", "OPTIONS", "Program", "form_of", "plan", "stream_source",
           "stream_signature"]

KINDS = ("none", "friction", "tensor", "element", "shared")     # in the order of the numbers in step.cu, and
FORMS = ("euler", "aboba", "badodab", "kick", "fluctuate")      # so are these
THREADS = 256       # of a block, and
CHUNK = 4096        # elements that a block carries out: as in step.cu
OPTIONS = ("--fmad=false",)     # of NVRTC and nvcc: what the source does not merge stays apart, on every GPU alike
_SUMS = ("tensor", "shared")    # kinds whose thermostat needs a sum over several elements
_LIMIT = 4096       # bytes of arguments that a kernel takes
_COMMON = 4 * 8     # of these for what all tensors have in common
_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "src", "step.cu")


def form_of(kind: str, integrator: str) -> str:
    """What a launch for this kind carries out of a step: all of it, or "kick", whose :attr:`Program.second` follows."""
    if kind == "none":
        return "euler"      # without momentum all integrators are one
    return "kick" if integrator == "badodab" and kind in _SUMS else integrator


class Program(NamedTuple):
    """A kind of step: the type of the arrays ("float" or "double"), whose the thermostat is, whether the gradient's
    variance is estimated, whether there is a preconditioner, what is carried out of a step, and whether the prior is
    another than the plain one, has a centre, and units. Tensors of one program can share a launch."""

    real: str
    kind: str
    estimate: bool
    scaled: bool = False
    form: str = "euler"
    pulled: bool = False
    centred: bool = False
    units: bool = False

    @property
    def arrays(self) -> Tuple[str, ...]:
        """Arrays of one tensor, named as in job.py, in the order of the arguments; ``const`` where only read."""
        return _arrays(self)

    @property
    def names(self) -> Tuple[str, ...]:
        """The same without ``const``."""
        return _names(self)

    @property
    def thermostat(self) -> Tuple[str, ...]:
        """Arrays of the shared thermostat that ``step`` reads: "alpha", and "excess" where it has to be settled."""
        if self.kind != "shared" or self.form == "kick":
            return ()
        return ("alpha",) if self.form == "fluctuate" else ("alpha", "excess")

    @property
    def sums(self) -> bool:
        """Whether sums of v^2 are wanted, and a second kernel that finishes them."""
        return self.kind in _SUMS

    @property
    def second(self) -> Optional[Program]:
        """The program that carries out the other half of the step; it takes the same table and some of the arrays."""
        if self.form != "kick":
            return None
        return self._replace(form="fluctuate", pulled=False, centred=False, units=False)

    @property
    def most(self) -> int:
        """The most tensors of one launch: pointers fill the 4 KB of arguments, and a block has a thread for each."""
        return min((_LIMIT - _COMMON) // (8 * len(self.arrays)), THREADS)

    def source(self, count: int) -> str:
        """CUDA C of the kernels ``step`` and, where there are sums, ``finish`` for ``count`` tensors."""
        return f"{self._definitions(count)}{_text()}"

    def _definitions(self, count: int, stream: bool = False) -> str:
        tensors = " ".join(f"X({i})" for i in range(count))
        return (f"#define REAL {self.real}\n#define KIND {KINDS.index(self.kind)}\n"
                f"#define FORM {FORMS.index(self.form)}\n#define ESTIMATE {int(self.estimate)}\n"
                f"#define SCALED {int(self.scaled)}\n#define PULLED {int(self.pulled)}\n"
                f"#define CENTRED {int(self.centred)}\n#define UNITS {int(self.units)}\n#define COUNT {count}\n"
                f"#define TENSORS(X) {tensors}\n#define STREAM {int(stream)}\n")

    def step_signature(self, count: int) -> str:
        """Arguments of ``step``: table, partials and the shared thermostat where they are used, then the tensors'."""
        arguments = ["const double *table"]
        if self.sums:
            arguments.append("double *partials")
        arguments += [f"const {self.real} *shared_{name}" for name in self.thermostat]
        for i in range(count):
            for name in self.arrays:
                const, _, name = name.rpartition(" ")
                arguments.append(f"{const} {self.real} *{name}{i}".strip())
        return ", ".join(arguments)

    def finish_signature(self, count: int) -> str:
        """Arguments of ``finish``: table, partials, then what it writes."""
        written = ["shared_alpha", "shared_excess"] if self.kind == "shared" else [f"alpha{i}" for i in range(count)]
        return ", ".join(["const double *table", "const double *partials"] + [f"{self.real} *{a}" for a in written])


@functools.lru_cache(maxsize=None)
def _arrays(program: Program) -> Tuple[str, ...]:
    kind, descends = program.kind, program.form != "fluctuate"
    names = ["weight", "const grad"] if descends else ["weight"]
    if kind != "none":
        names.append("momentum")
    if kind in ("tensor", "element"):
        names.append("const alpha" if kind == "tensor" else "alpha")
    if program.estimate:
        names += ["previous", "variance"] if descends else ["const variance"]
    if program.scaled:
        names.append("const scale")
    names += ["const centre"] if program.centred and descends else []
    return (*names, "const unit") if program.units and descends else tuple(names)


@functools.lru_cache(maxsize=None)
def _names(program: Program) -> Tuple[str, ...]:
    return tuple(name.rpartition(" ")[2] for name in _arrays(program))


def stream_source() -> str:
    """CUDA C of the kernels ``words`` and ``normals``."""
    return f"{Program('float', 'none', False)._definitions(1, stream=True)}{_text()}"


def stream_signature(kind: str) -> str:
    """Arguments of ``words`` (``kind`` "int") and ``normals`` ("float"), the stream by itself."""
    return (f"{kind} *out, int groups, int first_group, int seed_low, int seed_high, int parameter, int step_low, "
            "int word3")


def plan(programs: Sequence, touched: Sequence[frozenset]) -> List[List[int]]:
    """Split a list of tensors over launches.

    A launch has tensors of one program, and no more of them than its arguments hold. No memory may be named twice in
    it: MXNet's engine would wait for itself. A tensor with memory of an earlier one begins new launches, so that the
    two follow each other.

    Parameters
    ----------
    programs : sequence of Program
        That of each tensor.
    touched : sequence of frozenset
        The memory that each tensor reads or writes, by names that compare.

    Returns
    -------
    list of lists of int
        For each launch, in order, the places of its tensors.
    """
    launches: List[List[int]] = []
    most = {program: program.most for program in set(programs)}
    at: Dict[Any, List[int]] = {}   # the launch under way of each program,
    taken: Set[Any] = set()         # and what they touch
    for i, program in enumerate(programs):
        if not taken.isdisjoint(touched[i]):
            at, taken = {}, set()
        if program not in at or len(at[program]) == most[program]:
            at[program] = []
            launches.append(at[program])
        at[program].append(i)
        taken |= touched[i]
    return launches


@functools.lru_cache(maxsize=None)
def _text() -> str:
    with open(_PATH, encoding="ascii") as f:
        return f.read()
