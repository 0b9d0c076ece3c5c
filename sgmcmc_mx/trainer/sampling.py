"""The loop of a chain, for those who need none of their own."""
from __future__ import annotations

from typing import Any, Optional, TypeVar

from .._check import integer
from ..batches.layout import BatchLayout
from ..gradients import ControlVariates
from .roads import NativeRoad, go, road_of
from .whole import Whole

__all__ = ["Sampling"]

Trainer = TypeVar("Trainer", bound="Sampling")


class Sampling(Whole):
    """Of a trainer: it makes its own steps."""

    _road: Optional[str] = None

    @property
    def gradient_road(self) -> Optional[str]:
        """What formed the gradients of the last :meth:`sample`: ``'native'`` or ``'mxnet'``; None before it."""
        return self._road

    def sample(self: Trainer, data: Any, steps: int, *, gradients: str = "auto",
               layout: Optional[BatchLayout] = None, control_variates: Optional[ControlVariates] = None) -> Trainer:
        """Take the chain to step ``steps``, on minibatches of ``data`` under the trainer's likelihood.

        It is the loop that one writes oneself (forward, backward, ``step(batch_size)``), and is faster where the
        network is a stack of dense layers, with convolutions and max pooling before them or without, and the data an
        :class:`~sgmcmc_mx.data.ArrayLoader`: minibatch, gradient and update are then one native operation, for all the
        steps between two samples, checkpoints or looks at divergence. The update is the same to the last bit; the
        gradient is MXNet's up to rounding, against which it is held at the first step of each call.

        Parameters
        ----------
        data : ArrayLoader, ResumableLoader, or another that knows its place
            Minibatches. With a ``store`` give the trainer the same object, so that its place is part of a checkpoint.
        steps : int
            Where to go on to, counted from the chain's beginning: of a chain that was resumed, what is left is done.
        gradients : 'auto', 'native' or 'mxnet', default 'auto'
            ``'mxnet'``: MXNet's operators in any case. ``'native'``: an error that says why, where it cannot be.
        layout : BatchLayout, optional
            What a batch is made of, where the network does not say it.
        control_variates : ControlVariates, optional
            What forms the gradients: two passes a step, by MXNet's operators. With a ``store`` give the trainer both,
            ``data=[data, control_variates]``, so that the centre is part of a checkpoint.

        Returns
        -------
        The trainer itself.

        Raises
        ------
        ValueError, TypeError
            If an argument is wrong, or the trainer has no likelihood.
        DivergenceError
            As in a loop of one's own; here the last step is looked at, too.

        Examples
        --------
        >>> data = sg.data.ArrayLoader(x, y, batch_size=100)
        >>> trainer = sg.BayesianTrainer(net, 'sgnht', {'learning_rate': 0.05, 'num_data': len(x)},
        ...                              sg.likelihoods.Gaussian(0.1), burn_in=1000, thin=50)
        >>> prediction = trainer.sample(data, steps=5000).predict(x_test)
        """
        steps = integer("steps", steps, "the step to go on to, counted from the beginning", low=0)
        if self.likelihood is None:
            raise ValueError("likelihood was not given to the trainer, and nothing else says what the gradient is of; "
                             "write BayesianTrainer(..., likelihood=sgmcmc_mx.likelihoods.Categorical())")
        road = road_of(self, data, gradients, layout, control_variates=control_variates)
        self._road = "native" if isinstance(road, NativeRoad) else "mxnet"
        go([road], steps)
        while not self._is_well_at_the_end():       # it went back to a checkpoint
            go([road], steps)
        return self
