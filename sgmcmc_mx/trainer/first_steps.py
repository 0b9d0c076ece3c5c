"""Whether loss, batch size and num_data belong together: the gradient has to be the examples' mean times num_data.

What arrives at each example's loss in ``backward`` is read off a probe: minus zero is added to the loss, which changes
no bit of it, and the probe's gradient is then d(what backward ran on) / d(loss of the example). It is 1 where the loss
was summed and 1/n where it was averaged. Two steps are looked at, and read two steps later: the engine has
those between to go on with, so that nothing stands still.
"""
from __future__ import annotations

import math
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

import mxnet as mx
from mxnet import autograd, gluon
from mxnet import ndarray as nd

from ..batches.arrays import classic
from .gluon_losses import Averaged, averaged
from .output_gradients import ROWS, weight_of

__all__ = ["FirstSteps", "Pass", "Seen", "judge"]

LOOKS = 2       # steps that are looked at
LATER = 2       # steps after which an answer is read

Found = Tuple[str, str]     # key and message of a warning


class Pass(NamedTuple):
    """A forward pass through network and likelihood."""

    context: Any
    inputs: int                     # examples that the network got, by the first axis
    losses: int                     # numbers that the likelihood gave
    averaged: Optional[Averaged]
    arrived: float                  # sum of what backward brought to these numbers

    def is_near(self, value: float) -> bool:
        return math.isclose(self.arrived, value, rel_tol=1e-2)


class Seen(NamedTuple):
    """What a step rests on: its passes, the batch size it was told, and the examples there are."""

    passes: List[Pass]
    batch_size: float
    num_data: int
    length: Optional[int]           # of the data the trainer was given
    time_major: bool                # whether the network has time as the first axis of its inputs
    workers: int = 1                # that sum their gradients; what arrived is of this one

    def fits(self) -> bool:
        """Whether what arrived is the batch size, over all passes or, as with control variates, over the last ones."""
        last = {p.context: p for p in self.passes}.values()
        return any(math.isclose(self.workers * sum(p.arrived for p in passes), self.batch_size, rel_tol=1e-2)
                   for passes in (self.passes, last))


class _Probe(NamedTuple):
    context: Any
    inputs: int
    losses: int
    averaged: Optional[Averaged]
    array: nd.NDArray
    output: Optional[nd.NDArray]    # the network's, where the probe is there and not at the loss

    def ask(self) -> Tuple[nd.NDArray, ...]:
        """What has to be known of it, as arrays that the engine fills in."""
        gradient = classic(self.array.grad)
        if self.output is None:
            return (gradient.astype("float32").sum(),)
        return tuple(a.reshape((-1, a.shape[-1]))[:ROWS].astype("float32") for a in (self.output, gradient))

    def arrived(self, asked: Tuple[nd.NDArray, ...]) -> float:
        """The sum of what backward brought to the losses; 0 where it is not known."""
        if self.output is None:
            return float(asked[0].asscalar())
        return (weight_of(*(a.asnumpy() for a in asked)) or 0.0) * self.losses


class FirstSteps:
    """Looks at a trainer's first steps."""

    def __init__(self, length: Optional[int]) -> None:
        self.length = length
        self._inputs = 0
        self._probes: List[_Probe] = []
        self._asked: List[Tuple[int, float, tuple, list]] = []     # step, batch size, scales, (probe, sum)
        self._seen: List[Seen] = []
        self._looks, self._step = LOOKS, 0

    def not_needed(self) -> None:
        """Look no more: the loop is this package's own."""
        self._probes, self._asked, self._looks = [], [], 0

    def note_inputs(self, inputs: Any) -> None:
        """Of a pass of the network that is recorded."""
        if not self._looks:
            return
        first = inputs[0] if inputs else None
        self._inputs = first.shape[0] if isinstance(first, nd.NDArray) and first.ndim else 0

    def note_loss(self, likelihood: Any, output: Any, loss: nd.NDArray) -> None:
        """Of a likelihood whose loss is recorded: put a probe at it."""
        if self._looks and loss.size:
            shape = output.shape if isinstance(output, nd.NDArray) else ()
            self._probes.append(_Probe(loss.context, self._inputs, loss.size, averaged(likelihood, shape),
                                       _probe(loss), None))

    def note_output(self, output: Any) -> None:
        """Of a pass of the network whose loss will not be heard, unless it is one of this package."""
        if self._looks and isinstance(output, nd.NDArray) and output.ndim > 1 and output.size:
            rows, probe = output.size // output.shape[-1], _probe(output)
            self._probes.append(_Probe(output.context, self._inputs, rows, None, probe, classic(output).detach()))

    def before_update(self, trainer: Any, batch_size: float) -> Iterator[Found]:
        """Note a step; yields what was found wrong with an earlier one."""
        if not self._looks and not self._asked:
            return
        self._step += 1
        num_data = getattr(trainer._optimizer, "num_data", 1)
        if self._probes:
            self._looks -= 1
            at_losses = [p for p in self._probes if p.output is None]
            asked = [(p, p.ask()) for p in at_losses or self._probes]
            self._asked.append((self._step, batch_size, _scales(trainer), asked))
            self._probes = []
        elif self._step > 10 * LOOKS:
            self._looks = 0     # no likelihood is heard
        if num_data > 1 and self._step <= LOOKS and batch_size > num_data:
            yield "num_data", (
                f"step({batch_size:g}) is told of more examples than num_data={num_data}; write the number of examples "
                "in the data set, num_data=len(dataset), not the number of batches")
        if self._asked and not self._looks and self._step >= self._asked[-1][0] + LATER:
            yield from self.findings(trainer)

    def findings(self, trainer: Any) -> Iterator[Found]:
        """What is wrong with the steps that were looked at. Waits for them."""
        num_data, major = getattr(trainer._optimizer, "num_data", 1), _time_major(trainer.net)
        for _, batch_size, scales, asked in self._asked:
            sums = [p.arrived(arrays) for p, arrays in asked]
            readings = [Seen([Pass(p.context, p.inputs, p.losses, p.averaged, total * scale)
                              for (p, _), total in zip(asked, sums)], batch_size, num_data, self.length, major,
                             getattr(trainer, "num_workers", 1))
                        for scale in scales]
            self._seen.append(max(readings, key=lambda seen: (seen.fits(), len(judge(seen)))))
        self._asked = []
        if self._seen:
            found = [judge(seen) for seen in self._seen]
            for key, message in found[-1].items():
                if all(key in one for one in found):    # a single step may be special
                    yield key, message


def judge(seen: Seen) -> dict:
    """What is wrong with a step, a message by its key."""
    passes = [p for p in seen.passes if p.arrived]      # the rest was not gone through backward
    if not passes or seen.num_data <= 1:
        return {}
    return dict([*_of_one_worker(seen, passes), *_averaged_twice(seen, passes), *_never_averaged(seen, passes),
                 *_scaled_twice(seen, passes), *_over_outputs(seen, passes)])


def _of_one_worker(seen: Seen, passes: List[Pass]) -> Iterator[Found]:
    total, b = sum(p.arrived for p in passes), seen.batch_size
    if seen.workers > 1 and math.isclose(total, b, rel_tol=1e-2):
        yield "one worker", (
            f"step({b:g}) is told of the examples of this worker, and gradients are summed over {seen.workers} "
            f"workers, so the data count {seen.workers} times too much against the prior; write "
            f"step({b * seen.workers:g}), the examples of all workers together")


def _averaged_twice(seen: Seen, passes: List[Pass]) -> Iterator[Found]:
    last = {p.context: p for p in passes}
    n, b = max(max(p.inputs, p.losses) for p in passes), seen.batch_size
    total = sum(p.arrived for p in passes)
    if n < 2 or b <= 1 or b in (seen.workers * len(passes), seen.workers * len(last)):
        return
    if not all(p.is_near(1.0) for p in passes) and not math.isclose(total, 1.0, rel_tol=1e-2):
        return
    if all(p.losses == 1 for p in passes):
        name = passes[0].averaged.likelihood if passes[0].averaged else None
        yield "one number", (
            f"the likelihood gives one number for a batch of {n}, and step({b:g}) takes it for a sum over examples; it "
            "must give one -log p an example: write "
            f"{f'sgmcmc_mx.likelihoods.{name}()' if name else 'it without .mean() or .sum()'}")
        return
    yield "averaged twice", (
        f"backward() ran on a mean over the batch of {n}, and step({b:g}) divides by the batch size again, so the data "
        f"count {b:g} times too little against the prior; leave .mean() out, or write step({seen.workers * len(last)})")


def _never_averaged(seen: Seen, passes: List[Pass]) -> Iterator[Found]:
    n = sum(p.inputs for p in passes)
    if (seen.batch_size == 1 and not seen.time_major and all(p.inputs > 1 and p.losses > 1 for p in passes)
            and all(p.is_near(p.losses) for p in passes)):
        yield "never averaged", (
            f"backward() ran on the summed loss of {n} examples, and step(1) takes it for one, so the data count {n} "
            f"times too much against the prior; write step({n})")


def _scaled_twice(seen: Seen, passes: List[Pass]) -> Iterator[Found]:
    total = sum(p.arrived for p in passes)
    if (seen.fits() or not math.isclose(total, seen.num_data, rel_tol=1e-2)
            or any(math.isclose(total, sum(numbers), rel_tol=1e-2)
                   for numbers in ([p.losses for p in passes], [p.inputs for p in passes]))):
        return
    yield "scaled twice", (
        f"backward() ran on a loss that is multiplied by num_data={seen.num_data}, and the sampler does that too: with "
        f"step({seen.batch_size:g}) the data count {seen.num_data / seen.batch_size:.3g} times too much against the "
        "prior; write loss.mean() and step(1), or leave both factors out")


def _over_outputs(seen: Seen, passes: List[Pass]) -> Iterator[Found]:
    found = passes[-1].averaged
    if found is None or not seen.fits():
        return      # who multiplies the loss may have put the mean right
    if seen.length is None and found.positions:
        return      # num_data may count positions
    if seen.length is not None and seen.num_data >= seen.length * found.over:
        return      # it does
    ours = f"sgmcmc_mx.likelihoods.{found.likelihood}()" if found.likelihood else f"loss * {found.over}"
    yield "over outputs", (
        f"{found.name} averages over the {found.over} outputs of an example, whose log likelihoods sum, so the data "
        f"count {found.over} times too little against the prior; write {ours}")


def _probe(loss: nd.NDArray) -> nd.NDArray:
    """Minus zero, added to the loss in its place."""
    with autograd.pause():
        zeros = (mx.np if isinstance(loss, mx.np.ndarray) else nd).zeros
        probe = -zeros(loss.shape, ctx=loss.context, dtype=loss.dtype)
        probe.attach_grad()
    total = loss + probe
    loss.handle, total.handle = total.handle, loss.handle   # who holds the loss goes on from the sum
    return probe


def _scales(trainer: Any) -> tuple:
    """What the gradient is multiplied by besides 1 / batch size. With AMP it may have been unscaled by hand."""
    scaler = getattr(trainer, "_amp_loss_scaler", None)
    if scaler is None:
        return (trainer._scale,)
    return trainer._scale, trainer._amp_original_scale / scaler.loss_scale


def _time_major(block: gluon.Block) -> bool:
    return (getattr(block, "_layout", None) == "TNC" and isinstance(block, gluon.rnn.rnn_layer._RNNLayer)) or any(
        map(_time_major, block._children.values()))
