"""Where a chain is, as scalars for TensorBoard and its kin."""
from __future__ import annotations

from typing import Any, Dict, Iterator, Optional, Tuple

from .._check import integer
from ..store.samples import scalar
from ..trainer.readings import friction_of

__all__ = ["Scalars", "checked_scalars"]


class Scalars:
    """Writes potential, temperatures, friction and the number of samples to a SummaryWriter, every so many steps.

    Parameters
    ----------
    writer : object
        Anything with ``add_scalar(tag, value, global_step)``: ``mxboard.SummaryWriter``, TensorBoard's, tensorboardX's.
    every : int, default 50
        Steps between readings; each waits for the engine.
    prefix : str, default 'chain'
        What tags begin with.

    Notes
    -----
    ``<prefix>/potential`` is U(w) estimated from the last minibatch, ``<prefix>/temperature`` the kinetic temperature
    over all weights, ``<prefix>/temperature/<tensor>`` that of each tensor, ``<prefix>/friction`` the friction in
    force, ``<prefix>/samples`` how many samples there are. What a sampler has not is left out.

    Examples
    --------
    >>> scalars = sg.estimator.Scalars(SummaryWriter(logdir='logs'))
    >>> for x, y in batches:
    ...     ...
    ...     trainer.step(len(x))
    ...     scalars(trainer)
    """

    def __init__(self, writer: Any, every: int = 50, prefix: str = "chain") -> None:
        if not callable(getattr(writer, "add_scalar", None)):
            raise TypeError(f"writer must have add_scalar(tag, value, global_step), got {type(writer).__name__}; write "
                            "mxboard.SummaryWriter(logdir='logs'), or TensorBoard's")
        self._writer, self._prefix = writer, str(prefix)
        self._every = integer("every", every, "steps between readings, such as every=50", low=1)

    def __call__(self, trainer: Any) -> None:
        """Write the trainer's readings, if it is time to."""
        self.at(trainer.num_steps, trainer._optimizer, len(trainer.samples), trainer)

    def at(self, step: int, sampler: Any, samples: int, trainer: Any = None) -> None:
        """Write the readings of a sampler at a step, if it is time to; the potential is the trainer's to know."""
        if step % self._every:
            return
        for tag, value in _readings(sampler, getattr(trainer, "potential", None)):
            if value is not None:
                self.add(tag, value, step)
        self.add("samples", samples, step)

    def add(self, tag: str, value: float, step: int) -> None:
        """Write one more number under the same prefix."""
        self._writer.add_scalar(f"{self._prefix}/{tag}", value, step)


def _readings(sampler: Any, potential: Any) -> Iterator[Tuple[str, Optional[float]]]:
    yield "potential", scalar(potential)
    yield "temperature", scalar(getattr(sampler, "kinetic_temperature", None))
    each: Dict[str, Any] = getattr(sampler, "kinetic_temperatures", None) or {}
    for name, temperature in each.items():
        yield f"temperature/{name}", scalar(temperature)
    yield "friction", scalar(friction_of(sampler))


def checked_scalars(scalars: Any) -> Optional[Scalars]:
    """What was given for ``scalars``, if it is one, or None."""
    if scalars is not None and not isinstance(scalars, Scalars):
        raise TypeError(f"scalars must be a Scalars, got {type(scalars).__name__}; write "
                        "sgmcmc_mx.estimator.Scalars(writer)")
    return scalars
