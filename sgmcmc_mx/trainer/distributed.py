"""Several workers that sample one posterior: what they must agree on, and who of them does what.

Each makes the same step: gradients are summed over the workers, and noise is a function of (seed, step, parameter,
element). So the replicas stay equal to the last bit, and no weights travel. Worker 0 collects and writes.
"""
from __future__ import annotations

import json
import zlib
from typing import Any, Dict, Iterator, Optional

from mxnet import ndarray as nd

from ..batches.arrays import classic
from ..samplers import Sampler
from ..workers import Group
from .whole import Whole

__all__ = ["Distributed", "Elsewhere"]

FIRST = 2               # steps after which replicas are compared whatever check_every is
HEAD = 65536            # numbers of a parameter that are compared: replicas that part do so in all of them


class Elsewhere:
    """The samples, on a worker that does not collect them."""

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def append(self, sample: Any, fixed: Any = ()) -> None:
        """Worker 0 keeps it."""


class Distributed(Whole):
    """Of a trainer: its part in a job of several workers. Without a distributed kvstore nothing of it does a thing."""

    _group: Optional[Group] = None

    @property
    def rank(self) -> int:
        """The number of this worker; worker 0 collects the samples."""
        return 0 if self._group is None else self._group.rank

    @property
    def num_workers(self) -> int:
        """How many workers sum their gradients."""
        return 1 if self._group is None else self._group.size

    # ---------------------------------------------------------------- beginning

    def _joined(self, kwargs: Dict[str, Any], on_divergence: str) -> Dict[str, Any]:
        """Join the job of a distributed kvstore; returns the arguments of Gluon's trainer."""
        group = self._group = Group.of(kwargs.get("kvstore"))
        if group is None:
            return kwargs
        if group.size > 1:
            if "async" in group.kvstore.type:
                raise ValueError(f"kvstore={group.kvstore.type!r} moves the weights at each worker's gradient, taken "
                                 "where they were some steps ago, which is not the posterior's law; write "
                                 "kvstore='dist_sync'")
            if on_divergence == "halve":
                raise ValueError("on_divergence='halve' goes back to a checkpoint, which only worker 0 has; with "
                                 "several workers write on_divergence='raise'")
        update_on = kwargs.get("update_on_kvstore")
        if update_on is None and "async" not in group.kvstore.type:
            update_on = False       # Gluon would have the servers update
        return {**kwargs, "kvstore": group.kvstore, "update_on_kvstore": update_on}

    def _begin_together(self) -> None:
        """Before the first gradient is formed: one seed, equal settings, the weights of worker 0."""
        group = self._group
        if group is None:
            return
        if self._made_with["update_on_kvstore"]:
            self._check_that_servers_can()
            return
        waiting = [p.name for p in self._params if p._data is None]
        if waiting and group.size == 1:
            return
        if waiting:
            raise ValueError(f"the shape of parameter {waiting[0]} is not known, so worker 0 cannot give its weights "
                             "to the others before their first gradients; call net(x[:1]) before the trainer is made, "
                             "or say the shape (in_units=10)")
        if isinstance(self._optimizer, Sampler) and self._optimizer._seed_is_drawn:
            self._optimizer.seed = int(group.share(str(self._optimizer.seed).encode()))
            self._optimizer._seed_is_drawn = False
        self._compare_settings(group)
        group.claim()
        self._init_kvstore()
        self._init_params()

    def _compare_settings(self, group: Group) -> None:
        """Raise where this worker would not make the same steps, or not at the same steps what worker 0 does."""
        mine = self._settings_of_all()
        theirs = json.loads(group.share(json.dumps(mine).encode()))
        for name in [*theirs, *mine]:
            if mine.get(name) != theirs.get(name):
                raise ValueError(f"{name} is {mine.get(name)!s:.80} on worker {group.rank}, and "
                                 f"{theirs.get(name)!s:.80} on worker 0; all workers must make the same steps, with "
                                 "num_data the examples of all of them together")

    def _settings_of_all(self) -> Dict[str, str]:
        names = "burn_in", "thin", "max_samples", "checkpoint_every", "check_every", "max_temperature"
        found: Dict[str, Any] = {name: getattr(self, name) for name in names}
        found["optimizer"] = type(self._optimizer).__name__
        found["store"] = self._has_store
        for part in (self._optimizer, self._optimizer.lr_scheduler):
            if part is not None:
                found.update((name, value) for name, value in vars(part).items()
                             if name[0] != "_" and type(value) in (bool, int, float, str, type(None)))
        prior = getattr(self._optimizer, "prior", None)
        found["lr_scheduler"] = type(self._optimizer.lr_scheduler).__name__
        found["prior"] = prior if prior is None or prior.is_fixed() else type(prior).__name__
        for name, p in self._named.items():
            found[name] = (p.shape, p.dtype, p.lr_mult, p.wd_mult, p.grad_req)
        return {name: repr(value) for name, value in found.items()}

    _has_store = False

    def _check_that_servers_can(self) -> None:
        """Refuse updates on the servers where they would be another chain: a server sees flat pieces without names."""
        group: Any = self._group
        instead = "write update_on_kvstore=False, with which every worker makes the same step"
        servers = group.servers
        if servers > 1:
            raise ValueError(f"update_on_kvstore=True with {servers} servers: each has a part of the parameters, and "
                             f"would draw the noise of others again; {instead}, or launch one server")
        odd = [p.name for p in self._params if p.lr_mult != 1 or (p.wd_mult != 1 and p.grad_req != "null")]
        if odd:
            raise ValueError(f"update_on_kvstore=True: a server does not know lr_mult and wd_mult, and {odd[0]} has "
                             f"one that is not 1; {instead}")
        if getattr(self._optimizer, "prior", None) is not None:
            raise ValueError("update_on_kvstore=True: a server knows neither names nor shapes of the parameters, which "
                             f"prior= goes by; {instead}")
        if self.max_temperature is not None:
            raise ValueError(f"update_on_kvstore=True: momenta are on the server, and max_temperature="
                             f"{self.max_temperature:g} could not be looked at; {instead}")

    # ---------------------------------------------------------------- the step

    def _init_kvstore(self) -> None:
        if not (self._kv_initialized and self._distributed):    # which cannot be made twice
            super()._init_kvstore()

    def _init_params(self) -> None:
        super()._init_params()
        if self._distributed:
            # Else a worker's first gradient may reach the server before its weights have come from there, and the
            # gradient comes as weights.
            nd.waitall()

    def _check_same_batch(self, batch_size: float) -> None:
        """A server has got the sampler at the first step, and divides by that step's batch size for good."""
        if (self._distributed and self._update_on_kvstore and self._kv_initialized
                and self._optimizer.rescale_grad != self._scale / batch_size):
            raise ValueError(f"step({batch_size:g}): with update_on_kvstore=True a server divides by the first step's "
                             f"batch size, {self._scale / self._optimizer.rescale_grad:g}, for good; give every step "
                             "as many examples, or write update_on_kvstore=False")

    def set_learning_rate(self, lr: float) -> None:
        """As in Gluon."""
        if self._distributed and self._update_on_kvstore:
            raise ValueError("set_learning_rate: the sampler is on the servers since the first step, and would not "
                             "hear of it; write an lr_scheduler, or update_on_kvstore=False")
        super().set_learning_rate(lr)

    def _check_others(self) -> None:
        """Raise if a worker is gone."""
        if self._group is not None:
            self._group.check()

    def _note_step(self) -> None:
        """Note that this worker has begun a step, which it cannot end without the others."""
        if self._group is not None:
            self._group.channel.steps += 1

    def _compare_replicas(self) -> None:
        """Tell the others what the weights are, now and then; where they differ, that ends the run."""
        step, group = self.num_steps, self._group
        if group is None or group.size == 1 or self._update_on_kvstore:
            return
        if step <= FIRST or step % max(1, self.check_every // 2) == 0:
            found = 0
            for p in self._params:
                if p.grad_req != "null":
                    found = zlib.crc32(classic(p.list_data()[0]).reshape((-1,))[:HEAD].asnumpy(), found)
            group.channel.mark(f"in the weights after step {step}", f"{found:08x}")

    # ---------------------------------------------------------------- samples

    def _copies(self) -> dict:
        return {} if self.rank else super()._copies()

    def _check_samples(self) -> None:
        if self.rank:
            raise ValueError(f"this is worker {self.rank}, and worker 0 has the samples; write if trainer.rank == 0: "
                             "before what needs them")
        super()._check_samples()
