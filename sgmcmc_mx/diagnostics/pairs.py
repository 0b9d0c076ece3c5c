"""Short chains of a step and of half of it, from the same place."""
from __future__ import annotations

import copy
import warnings
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import mxnet as mx

from ..chains import ChainSetup
from ..chains.variates import variates_of
from ..errors import DivergenceError
from ..gradients import ControlVariates
from ..prediction import using
from ..samplers import SGNHT, Sampler
from ..trainer import BayesianTrainer
from ..trainer.arguments import number_of_examples
from .told import kinetic_of

__all__ = ["KEPT", "Pair", "Short"]

KEPT = 16           # samples of a short chain


class Short(NamedTuple):
    """What a short chain leaves: samples, and the kinetic temperature of each tensor at its end."""

    samples: List[Any]
    kinetic: Dict[str, float]


class Pair:
    """Chains of the full and of half the step, from the same place, on the same minibatches and with the same seed.

    ``center``: where control variates have theirs, if the chains have any.
    """

    def __init__(self, setup: ChainSetup, steps: int, seed: int, center: Optional[Mapping] = None) -> None:
        self._setup, self._steps, self._seed = setup, steps, seed
        self._given = dict(setup.optimizer_params or {})
        length = number_of_examples(setup.data)
        if length is not None:
            self._given.setdefault("num_data", length)
        self._place = setup.data.state_dict()
        self._variates: Optional[ControlVariates] = None
        if center is not None:
            with using(setup.net, center):
                self._variates = variates_of(setup)

    def run(self, sample: Any, k: int, factor: float) -> Optional[Short]:
        """A chain from this sample; None where it diverges."""
        setup = self._setup
        options, sampler = self._options(sample, k, factor)
        steps = round(self._steps / (factor**0.5 if sampler.second_order else factor))
        learning = self._given.get("burn_in", 0)        # of sasghmc: it has to learn its scales anew
        burn_in = steps // 4 + learning
        params = [(p, p._trainer) for p in setup.net.collect_params().values()]
        with using(setup.net, sample), warnings.catch_warnings():
            warnings.simplefilter("ignore")     # of temperatures: the table tells them
            try:
                trainer = BayesianTrainer(setup.net, setup.optimizer, options, setup.likelihood, burn_in=burn_in,
                                          thin=(steps - steps // 4) // KEPT, max_samples=KEPT, kvstore=None)
                if sample.hyper:
                    trainer.optimizer._hyper.precisions = dict(sample.hyper)
                trainer.sample(setup.data, learning + steps, gradients=setup.gradients, layout=setup.layout,
                               control_variates=self._variates)
                return Short(list(trainer.samples), kinetic_of(trainer))
            except DivergenceError:
                return None
            finally:
                setup.data.load_state_dict(self._place)
                for p, before in params:
                    p._trainer = before

    def _options(self, sample: Any, k: int, factor: float) -> Tuple[dict, Sampler]:
        """Those of the chains, at the step that the sample was drawn with, or a part of it."""
        given = copy.deepcopy(self._given)
        whole = mx.optimizer.create(self._setup.optimizer, **{**given, "seed": 0})
        lr = whole.learning_rate if whole.lr_scheduler is None else whole.lr_scheduler(sample.step)
        for name in ("lr_scheduler", "momentum", "a"):
            given.pop(name, None)
        given.update(learning_rate=factor * lr, seed=self._seed + k)
        if whole.second_order:
            a = whole.friction_at(lr)
            given["friction"] = a * factor**0.5         # as friction_at has it, and the papers' A stays what it is
            if isinstance(whole, SGNHT) and sample.friction is not None:
                # The thermostat starts where it was: at a + eta V / (2 T).
                noise = 2.0 * whole.temperature * (sample.friction - a) * whole.num_data / lr
                given["gradient_noise"] = max(noise, 0.0)
        return given, whole
