"""Every form of the step, on small tensors, against results that are stored.

``forms.npz`` holds what the CUDA source gave on a host: a digest of every array, and some of its values. The source
leaves nothing open but exp and expm1, so that a form without them has the same bits everywhere. With them it may differ
by a few ulps of the array's largest value: see :data:`ULPS`.
"""
from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from .devices import CheckedDevice
from .package import cuda_plan, cuda_source, job, noise
from .table import Row

__all__ = ["ULPS", "Form", "forms", "programs", "results", "store", "stored", "faults", "check"]

PART = "every form of the step, against a host's results"
STORED = Path(__file__).with_name("forms.npz")
SEED = 0xDEADBEEF12345678
STEPS = 2
HEAT, SHARE = 0.01, 0.002
SIZES = (17, 1, 47, cuda_source.CHUNK + 1031)
SAMPLED = 16    # of a longer array that many values are stored
TYPES = {"float": np.float32, "double": np.float64}

# expf is within 2 ulps on a GPU, exp, expm1 and expm1f within 1 (CUDA's manual); a host's within 1. So alike results
# differ by 3, e^2 in 'aboba' by 6 a step, and twice that in the second step, which begins where the first one ended;
# the rounding of what they are multiplied with adds less than one for each of the four products.
ULPS = 16


class Form(NamedTuple):
    """A step as a sampler can ask for it."""

    real: str           # "float" or "double"
    kind: str           # whose the thermostat is, as in cuda_source
    integrator: str
    estimate: bool      # of the gradient's variance
    scaled: bool        # a preconditioner
    half: bool = False  # float16 weights, this being their master
    many: bool = False  # more tensors than the arguments of one launch hold

    @property
    def exact(self) -> bool:
        """Whether all bits are the source's. In float, exp of one double for a tensor is rounded to its float."""
        library = self.integrator != "euler" and self.kind != "none"
        return not library or (self.kind != "element" and self.real == "float")


def forms() -> List[Form]:
    """All that a job can ask for, by the lists of the package."""
    found = {}
    product = itertools.product(TYPES, cuda_source.KINDS, job.INTEGRATORS, (False, True), (False, True))
    for real, kind, integrator, estimate, scaled in product:
        form = Form(real, kind, integrator, estimate, scaled)
        found.setdefault((real, kind, cuda_source.form_of(kind, integrator), estimate, scaled), form)
    halves = [Form("float", kind, "euler", False, False, half=True) for kind in cuda_source.KINDS]
    many = [Form("float", "shared", "badodab", False, False, many=True),
            Form("float", "element", "euler", True, True, many=True)]
    return [*found.values(), *halves, *many]


# ---------------------------------------------------------------- a job


def _numbers(size: int, real: str, ordinal: int, array: int) -> np.ndarray:
    """Numbers in [-1, 1) that come from integers without rounding, hence are the same everywhere."""
    words = np.concatenate(noise.words(0, -(-size // 4), 1, array, ordinal))[:size]
    if real == "double":
        return words.astype(np.float64) * 2.0 ** -31 - 1.0
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0 ** -23) - np.float32(1.0)


def _tensor(form: Form, place: int, size: int, device: CheckedDevice) -> Any:
    def array(number, center=0.0, scale=1.0, positive=False):
        x = _numbers(size, form.real, place, number)
        x = np.abs(x) if positive else x
        return device.xp.asarray(x * x.dtype.type(scale) + x.dtype.type(center))

    t = job.Tensor(array(0), array(1, scale=2.0), 2 ** 31 + place, 2 ** 40 + 5, drift=0.05, prior=0.3 + place / 8,
                   noise=0.0 if place == 1 else 0.07)
    t.friction = 0.1 if form.kind == "friction" else 0.0
    t.heat, t.inverse_mass, t.share = HEAT, 0.4, SHARE
    t.ratio, t.alpha_ratio, t.cold = 1.1, 0.9, 0.0 if place == 2 else 0.003
    if form.kind != "none":
        t.momentum = array(2, scale=0.25)
    if form.kind == "tensor":
        t.alpha = device.xp.full(1, 0.2, dtype=TYPES[form.real])
    if form.kind == "element":
        t.alpha = array(3, 0.2, 0.125)
    if form.estimate:
        t.previous, t.variance, t.rate = array(4), array(5, positive=True), 0.0 if place == 0 else 0.3
    if form.scaled:
        t.scale = array(6, 0.25, positive=True)
    if form.half:
        t.half, t.grad = t.weight.astype(device.xp.float16), t.grad.astype(device.xp.float16)
    return t


def _job(form: Form, device: CheckedDevice) -> Any:
    sizes = [3 + i % 5 for i in range(200)] if form.many else SIZES
    tensors = [_tensor(form, place, size, device) for place, size in enumerate(sizes)]
    shared = None
    if form.kind == "shared":
        alpha, excess = (device.xp.full(1, x, dtype=TYPES[form.real]) for x in (0.2, 0.3))
        shared = job.Shared(alpha, excess)
        shared.settle, shared.gain = (1.1, 0.3), 0.2
    return job.Job(tensors, SEED, 0.5, None, shared, form.integrator)


def _carry_out(j: Any, device: CheckedDevice) -> None:
    tasks, rest = cuda_plan.divided(j, device)
    if rest:
        raise RuntimeError(f"{len(rest)} tensors have no kernel")
    cuda_plan.carry_out(tasks, j, j.shared, device)
    for t in j.tensors:
        if t.half is not None:
            t.half[...] = t.weight.astype(t.half.dtype)


def _again(j: Any) -> None:
    """The second step has other numbers: the gradient is clipped, and a prior has been drawn anew."""
    j.clip = 0.4
    for t in j.tensors:
        t.count += 1
        t.ratio, t.alpha_ratio = 1.0, 1.0
        t.prior *= 1.5
    if j.shared is not None:
        j.shared.settle = (1.0, 0.3)


def _collected(j: Any) -> Dict[str, List[Any]]:
    """Every array of a job that a step may write, those of its tensors in a list."""
    out = {}
    for name in ("weight", "momentum", "alpha", "previous", "variance", "half"):
        found = [x for x in (getattr(t, name) for t in j.tensors) if x is not None]
        if found:
            out[name] = found
    if j.shared is not None:
        out["shared alpha"], out["excess"] = [j.shared.alpha], [j.shared.excess]
    return out


def results(form: Form, device: CheckedDevice) -> Dict[str, np.ndarray]:
    """Every array after two steps, those of the tensors one after the other."""
    j = _job(form, device)
    for step in range(STEPS):
        if step:
            _again(j)
        _carry_out(j, device)
    return {name: np.concatenate([device.numpy(x).ravel() for x in found]) for name, found in _collected(j).items()}


class _Listing(cuda_plan.Device):
    """Takes down the programs of a job in place of running them."""

    def __init__(self):
        self.programs: Dict[Tuple[Any, int], None] = {}

    def block(self, x):
        return x.ctypes.data

    def upload(self, numbers):
        return None

    def partials(self, count):
        return None

    def launch(self, program, count, kernel, arguments, blocks):
        self.programs[program, count] = None


class _OnNumPy:
    xp = np


def programs(chosen: Sequence[Form]) -> List[Tuple[Any, int]]:
    """The programs that the forms run, and the number of tensors of each."""
    listing = _Listing()
    for form in chosen:
        j = _job(form, _OnNumPy)
        cuda_plan.carry_out(cuda_plan.divided(j, listing)[0], j, j.shared, listing)
    return list(listing.programs)


# ---------------------------------------------------------------- what is stored


def _sampled(x: np.ndarray) -> np.ndarray:
    """The values that are stored: all of short tensors and, of what follows, some that are evenly spread."""
    short = sum(SIZES[:-1])
    if x.size <= short:
        return x
    return x[np.r_[0:short, np.linspace(short, x.size - 1, SAMPLED).astype(int)]]


def _digest(x: np.ndarray) -> int:
    return int.from_bytes(hashlib.sha256(np.ascontiguousarray(x).tobytes()).digest()[:8], "little")


def store(device: CheckedDevice) -> None:
    """Make ``forms.npz`` anew from what a device gives."""
    values: Dict[str, List[np.ndarray]] = {"float16": [], "float32": [], "float64": []}
    digests = []
    for form in forms():
        for x in results(form, device).values():
            digests.append(_digest(x))
            values[x.dtype.name].append(_sampled(x))
    packed = {name: np.concatenate(arrays) for name, arrays in values.items()}
    np.savez_compressed(STORED, digests=np.array(digests, dtype=np.uint64), **packed)


def stored(path: Path = STORED) -> Dict[Form, Dict[str, Tuple[int, np.ndarray]]]:
    """The digest and the values of every array of every form."""
    with np.load(path) as content:
        kept = {name: content[name] for name in content.files}
    at = dict.fromkeys(kept, 0)

    def take(name: str, count: int) -> np.ndarray:
        begin, at[name] = at[name], at[name] + count
        return kept[name][begin:begin + count]

    out: Dict[Form, Dict[str, Tuple[int, np.ndarray]]] = {}
    for form in forms():
        arrays = {name: np.concatenate(found) for name, found in _collected(_job(form, _OnNumPy)).items()}
        out[form] = {name: (int(take("digests", 1)[0]), take(x.dtype.name, _sampled(x).size))
                     for name, x in arrays.items()}
    if any(at[name] != x.size for name, x in kept.items()):
        raise RuntimeError(f"{path.name} does not hold the forms of today: make it anew by scripts/gpu_check --host "
                           "--store")
    return out


# ---------------------------------------------------------------- the comparison


class Compared(NamedTuple):
    form: Form
    same: bool          # in every bit
    ulps: float
    wrong: List[str]    # a sentence for each array that differs more than it may


class Difference(NamedTuple):
    same: bool          # in every bit
    ulps: float         # of the largest value stored
    number: int         # of the values stored that differ
    of: int


def difference(x: np.ndarray, digest: int, values: np.ndarray, largest: float = 0.0) -> Difference:
    """How an array differs from the stored one. ``largest``: of what is rounded, where that is more than is stored."""
    if _digest(x) == digest:
        return Difference(True, 0.0, 0, values.size)
    ours = _sampled(x).astype(np.float64)
    theirs = values.astype(np.float64)
    unit = float(np.spacing(np.append(np.abs(values), values.dtype.type(largest)).max()))
    apart = np.abs(ours - theirs)
    worst = float(apart.max()) / unit if np.isfinite(ours).all() else np.inf
    return Difference(False, worst, int((apart != 0).sum()), values.size)


def faults(form: Form, found: Dict[str, np.ndarray], kept: Dict[str, Tuple[int, np.ndarray]]) -> Compared:
    """Hold the arrays of a form to the stored ones."""
    worst, same, wrong = 0.0, True, []
    allowed = 0 if form.exact else ULPS
    for name, x in found.items():
        d = difference(x, *kept[name], _summed(found) if name == "excess" else 0.0)
        worst, same = max(worst, d.ulps), same and d.same
        if d.same or (not form.exact and d.ulps <= ULPS):
            continue
        where = f"{d.number} of the {d.of} values stored differ, by up to {d.ulps:.3g} ulps of the largest"
        if not d.number:
            where = "those of its values that are stored are the same, others are not"
        wrong.append(f"{describe(form)}: {name}: {where}; {allowed} are allowed")
    return Compared(form, same, worst, wrong)


def _summed(found: Dict[str, np.ndarray]) -> float:
    """What the account is the small difference of: the sum of v^2, and the heat that it should be."""
    v = found["momentum"].astype(np.float64)
    return SHARE * float((v * v).sum() + v.size * HEAT)


def describe(form: Form) -> str:
    options = [name for name in ("estimate", "scaled", "half", "many") if getattr(form, name)]
    return " ".join([form.real, form.kind, form.integrator, *options])


def check(device: CheckedDevice, chosen: Sequence[Form]) -> Iterator[Row]:
    """A row for each kind of thermostat and integrator."""
    kept = stored()
    device.prepare(program.source(count) for program, count in programs(chosen))
    groups: Dict[Tuple[str, str], List[Compared]] = {}
    for form in chosen:
        compared = faults(form, results(form, device), kept[form])
        groups.setdefault((form.kind, form.integrator), []).append(compared)
    for (kind, integrator), members in groups.items():
        same = sum(c.same for c in members)
        found = f"{len(members)} forms, {same} bit for bit"
        if same < len(members):
            found += f", the others within {max(c.ulps for c in members):.3g} ulps of the largest value"
        name = "without momentum" if kind == "none" else f"{kind}, {integrator}"
        yield Row(PART, name, found, tuple(w for c in members for w in c.wrong))
