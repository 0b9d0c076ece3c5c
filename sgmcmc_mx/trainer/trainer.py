"""BayesianTrainer: a ``gluon.Trainer`` that collects samples and predicts with their average."""
from __future__ import annotations

import logging
import os
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet import gluon
from mxnet import optimizer as opt

from .._check import unknown_option, warn
from .._network import Loss, check_likelihood, check_net
from ..checkpoint import content as contents
from ..checkpoint import restoring
from ..checkpoint import resume as resuming
from ..checkpoint.keeper import Keeper, Moment, seed_of
from ..checkpoint.together import Follower, Leader, of_the_others
from ..data import as_resumable
from ..data.place import Resumable
from ..errors import DivergenceError
from ..samplers import Sampler
from ..samplers._options import places
from ..store import FolderStore, MemoryStore
from . import beginning
from .arguments import (
    OWN,
    PASSED_ON,
    as_json,
    check_batch,
    check_hotter,
    check_initialized,
    check_passed_on,
    check_shapes_are_known,
    checked_params,
    checked_progress,
    checked_settings,
)
from .assumptions import unsound
from .back_reference import loosen
from .collecting import as_store
from .distributed import Distributed, Elsewhere
from .divergence import Watch
from .looking import Looking
from .progress import Progress
from .sampling import Sampling
from .states import States
from .thinning import Thinning

__all__ = ["BayesianTrainer"]

_log = logging.getLogger("sgmcmc_mx")


class BayesianTrainer(Distributed, Sampling, Thinning, Looking, States):
    """A trainer whose steps sample a network's posterior, and that averages predictions over the samples.

    After ``burn_in`` steps it copies all parameters every ``thin`` steps, after the update, by whichever road the
    update came (``step``, or ``allreduce_grads`` and ``update``). A step that AMP skips is no step.

    Parameters
    ----------
    net : gluon.Block
        The network. All its parameters go into a sample, also those that are not trained (running statistics).
    optimizer : str or mxnet.optimizer.Optimizer
        ``'sgld'``, ``'sghmc'``, ``'sgnht'``, or an instance.
    optimizer_params : dict, optional
        The sampler's arguments; ``num_data`` should be among them.
    likelihood : gluon.loss.Loss, optional
        The loss used in training. One of :mod:`sgmcmc_mx.likelihoods` knows its predictive, so that ``predict``
        needs no activation; any other makes the potential known to the progress bar and to the samples.
    burn_in : int, default 0
        Steps before the first sample can be taken.
    thin : int, default 1
        A sample is kept at steps burn_in + thin, burn_in + 2 thin, ... With an ``lr_scheduler`` that says when to
        collect, ``thin`` counts within its stages; see the notes.
    max_samples : int, optional
        Stop collecting after so many; the chain goes on.
    seed : int, optional
        The sampler's seed (the same as in ``optimizer_params``).
    progress : bool or int, default False
        Show a progress bar; a number is the number of steps expected.
    weights : 'step' or 'equal', optional
        What a sample counts in an average. ``'step'``: the length of the step it comes from, eta for SGLD and
        sqrt(eta) for samplers with momentum, which is right where all of a changing schedule is sampled. ``'equal'``:
        the same for all. Default: ``'equal'`` where the schedule says when to collect, else ``'step'``.
    store : str, os.PathLike or FolderStore, optional
        A folder to keep the samples in, and checkpoints, from which :meth:`resume` goes on; see
        :class:`~sgmcmc_mx.FolderStore`. Default: in memory, of which samples take at most half of what was free:
        a warning comes long before that, and at it every second one is given up, as if ``thin`` were doubled.
    checkpoint_every : int, default 1000
        Steps between checkpoints, with a store; there is one at each sample too.
    check_every : int, default 100
        A weight, gradient or thermostat that is not finite is found within so many steps, and so are replicas that
        differ. Nothing waits for it.
    on_divergence : 'raise' or 'halve', default 'raise'
        What is done then: raise a :class:`~sgmcmc_mx.DivergenceError`, or (with a store) go back to the last
        checkpoint and on with half the step, which the manifest records.
    max_temperature : float, optional
        A kinetic temperature above it counts as a divergence. In the units of ``temperature``, of which it may be
        three times. A thermostat catches some chains on their way out: all is finite then, and no sample is right.
        Readings of d weights scatter by T sqrt(2 / d); one is waited for at each sample and checkpoint, and twice
        in ``check_every`` steps. A chain from weights that were not trained is hot on its way, and bears no limit. For
        samplers with momentum. Default: none.
    data : object or list of objects, optional
        What the batches come from, with ``state_dict()`` and ``load_state_dict(state)``, such as
        :class:`sgmcmc_mx.data.ResumableLoader`: its place is part of a checkpoint. So are the centre and gradient of
        :class:`~sgmcmc_mx.ControlVariates`: ``data=[loader, cv]``. With a store its state is asked for after every
        step.
    **trainer_kwargs
        ``kvstore``, ``compression_params``, ``update_on_kvstore``.

    Notes
    -----
    A schedule says when to collect by a method ``collects(num_update) -> bool``, as
    :class:`~sgmcmc_mx.schedules.CyclicalScheduler` does with an ``exploration``; any schedule may have one, and None
    in place of a bool leaves the question open. It is asked after each step, with the number that the step's learning
    rate came from. A stage is a run of steps for which it says True. Samples are kept at the thin-th, 2 thin-th, ...
    step of each stage, those up to step ``burn_in`` excepted. A stage shorter than ``thin`` gives no sample, which is
    warned of. Whatever the stage, every step injects its noise.

    The first two steps are looked at, and a warning says once where loss, batch size, ``num_data`` and likelihood do
    not belong together. No bit of the run changes by that.

    With a store, an error of the writing is raised at the next step, before anything has moved: make room and call
    ``step`` again. At each checkpoint MXNet's generator is set anew, from the seed and the step, so that dropout after
    it does not depend on what came before. SIGTERM and Ctrl-C finish the step and write a checkpoint first.

    With ``kvstore='dist_sync'`` in a job of several workers, gradients are summed over them and each makes the same
    step (``update_on_kvstore`` is False by default). MXNet multiplies nothing: give ``step`` the number of examples of
    all workers together, and ``num_data`` that of the whole data set. All begin at worker 0's weights. Worker 0 alone,
    whose ``rank`` is 0, has the samples and writes the store; the others read it to go on. A worker that is gone, that
    parts from the others or ends before them ends all, with a :class:`~sgmcmc_mx.WorkerError` or, where MXNet waits
    for it, with that message and exit status 1. A signal ends the job without a checkpoint of its own.

    Examples
    --------
    >>> trainer = sg.BayesianTrainer(net, 'sgnht', {'learning_rate': 0.1, 'num_data': len(x)},
    ...                              burn_in=1000, thin=100, seed=0)
    >>> for x, y in batches:
    ...     with autograd.record():
    ...         loss = loss_fn(net(x), y)
    ...     loss.backward()
    ...     trainer.step(len(x))
    >>> probs = trainer.predict(x_test, activation='softmax')
    """

    def __init__(self, net: gluon.Block, optimizer: Union[str, opt.Optimizer], optimizer_params: Optional[dict] = None,
                 likelihood: Optional[Loss] = None, burn_in: int = 0, thin: int = 1, max_samples: Optional[int] = None,
                 seed: Optional[int] = None, progress: Union[bool, int] = False, weights: Optional[str] = None,
                 store: Union[None, str, os.PathLike, FolderStore] = None, checkpoint_every: int = 1000,
                 check_every: int = 100, on_divergence: str = "raise", max_temperature: Optional[float] = None,
                 data: Union[None, Resumable, Sequence[Any]] = None, **trainer_kwargs: Any) -> None:
        check_net(net)
        if likelihood is not None:
            check_likelihood(likelihood)
        unknown_option("BayesianTrainer", trainer_kwargs, OWN + PASSED_ON)
        progress = checked_progress(progress)
        settings = checked_settings(burn_in, thin, max_samples, weights, checkpoint_every, check_every, on_divergence,
                                    max_temperature, store)
        for name, value in settings.items():
            setattr(self, name, value)
        data = None if data is None else as_resumable(data)
        params = net.collect_params()
        check_initialized(params)
        optimizer_params = checked_params(optimizer, optimizer_params, seed)
        check_passed_on(**trainer_kwargs)
        trainer_kwargs = self._joined(trainer_kwargs, on_divergence)
        self._made_with = {name: trainer_kwargs.get(name, "device" if name == "kvstore" else None)
                           for name in PASSED_ON}
        if self._group is not None:
            self._made_with["kvstore"] = self._group.kvstore.type
        self._begin(net, likelihood)
        self._nothing_taken()
        super().__init__(self._in_order(params), optimizer, optimizer_params, **trainer_kwargs)
        loosen(self, self._params)
        check_hotter(self.max_temperature, self._optimizer)
        self._seen = self._updates_done()
        self._begin_to_look(net, likelihood, data)
        if not isinstance(self._optimizer, Sampler):
            warn(f"{type(self._optimizer).__name__} is no sampler: the average over its iterates is not a posterior "
                 "average; write 'sgld', 'sghmc' or 'sgnht'")
        self._progress = Progress(progress) if progress and not self.rank else None
        self._watch = Watch(self.check_every)
        self._went_back = False     # to a checkpoint, since the gradient was formed
        self._has_store = store is not None
        self._begin_together()
        if self.rank:
            self._follow(data)
        elif store is not None:
            self._keep_in(store, data, optimizer_params)

    def _keep_in(self, store: Union[str, os.PathLike, FolderStore], data: Optional[Resumable],
                 optimizer_params: dict) -> None:
        """Have samples and checkpoints kept in a folder."""
        options = {name: as_json(value) for name, value in optimizer_params.items()}
        self.samples = folder = as_store(store, sampler=type(self._optimizer).__name__.lower(), options=options)
        kind = Keeper if self.num_workers == 1 else Leader
        self._keeper = kind(folder, self.checkpoint_every, data, seed_of(self._optimizer))
        if self._order is None:
            self._keeper.begin(self)

    def _follow(self, data: Optional[Resumable]) -> None:
        """Leave samples and checkpoints to worker 0."""
        elsewhere: Any = Elsewhere()
        group: Any = self._group
        self.samples = elsewhere
        if self._has_store:
            self._keeper = Follower(group, self.checkpoint_every, data, seed_of(self._optimizer))
            if self._order is None:
                self._keeper.begin(self)

    @classmethod
    def resume(cls, path: Union[str, os.PathLike], net: gluon.Block, **given: Any) -> BayesianTrainer:
        """Go on with a run from its last checkpoint: weights, samples and predictions come out bit for bit as those of
        a run that was never interrupted (same kind of processor; any number of threads).

        Parameters
        ----------
        path : str or os.PathLike
            The folder that was given as ``store``.
        net : gluon.Block
            The network as it was built for the run, initialised or not; its weights are set.
        data : object, optional
            As it was given to the run, if it was; it is put back to its place. False: begin anew with the data.
        likelihood, lr_scheduler, prior, optimizer, kvstore : optional
            What was an object of a class of your own in the run: it is not kept, and must be brought. (MXNet's and
            this package's are kept.) A schedule must be a function of the step's number. A likelihood that is given is
            the trainer's: give the loop's, or let the loop call ``trainer.likelihood``.
        checkpoint : int or 'previous', optional
            The checkpoint to go on from. Default: the newest.
        ctx : mxnet.Context or list of it, optional
            Where the network is initialised, if it is not. Default: the current context.
        progress : bool or int, default False
            As for the trainer.

        Raises
        ------
        CheckpointError
            If there is no checkpoint, or it is damaged or newer than this package; a good one is named.
        StoreError
            If the folder holds no run, is in use, or belongs to another network.
        """
        return resuming.resume(cls, path, net, **given)

    @classmethod
    def begin_or_resume(cls, net: gluon.Block, *args: Any, store: Union[str, os.PathLike],
                        store_options: Optional[dict] = None, **options: Any) -> BayesianTrainer:
        """The run of a folder: gone on with if it is there, begun if not. A script that is killed is called again.

        Takes what the trainer takes, so that a run can be begun, and resumes with the same objects. A run that went
        down before its first checkpoint is begun again.

        Parameters
        ----------
        net : gluon.Block
            The network, initialised.
        *args, **options
            As for the trainer, ``data`` among them. Of a run that is there they must be those it was begun with.
        store : str or os.PathLike
            The folder.
        store_options : dict, optional
            ``keep_last``, ``dtype``, ``inputs`` and ``signals`` of :class:`~sgmcmc_mx.FolderStore`.

        Raises
        ------
        ValueError
            If the run that is there was begun with other options.
        StoreError, CheckpointError
            As :meth:`resume` and the trainer raise them.

        Examples
        --------
        >>> trainer = sg.BayesianTrainer.begin_or_resume(net, 'sgnht', {...}, loss_fn, burn_in=1000, thin=100,
        ...                                              store='runs/a', data=loader)
        >>> while loader.epoch < 200:
        ...     for x, y in loader:
        ...         ...
        """
        return beginning.begin_or_resume(cls, net, args, store, store_options, options)

    def take(self, moment: Moment) -> tuple:
        """All that the next step depends on, as tree and arrays."""
        return contents.take(self, moment, of_the_others(self._group, moment))

    def go_to(self, content: dict, arrays: Mapping[str, np.ndarray]) -> None:
        """Go to a checkpoint's place, in the middle of a run."""
        self._reset_kvstore()
        self._optimizer = content["optimizer"]
        self._optimizer.param_dict = dict(enumerate(self._params))
        self._updaters = [opt.get_updater(self._optimizer) for _ in self._contexts]
        restoring.load_weights(self.net, content, arrays, None)
        restoring.restore(self, content, None)
        self._passed = tuple(mark for mark in self._passed if mark[1] <= self.num_steps)
        self._watch.restart(self.num_steps)

    def _in_order(self, params: gluon.ParameterDict) -> List[gluon.Parameter]:
        """The parameters in the order of a run that goes on, for states are kept by number; else by name.

        Gluon sorts names as text, ``dense10_bias`` before ``dense9_bias``, so that sums over parameters would round
        differently with the number of networks that were built before.
        """
        if self._order is not None:
            return [self._named[name] for name in self._order]
        names = sorted(params.keys())
        place = places(names)
        return [params[names[i]] for i in sorted(place, key=place.__getitem__)]

    _order: Optional[List[str]] = None

    # ---------------------------------------------------------------- the step

    def _init_kvstore(self) -> None:
        check_shapes_are_known(self._params)
        super()._init_kvstore()
        if self._keeper is not None and self._distributed and self._update_on_kvstore:
            raise ValueError(f"store={str(self._keeper.store.path)!r} keeps checkpoints, and with updates on a "
                             "distributed kvstore the sampler's state is on its servers; write "
                             "update_on_kvstore=False, with which every worker makes the same step")

    def step(self, batch_size: float, ignore_stale_grad: bool = False) -> None:
        """One step on the gradient of the summed loss of ``batch_size`` examples; as in Gluon."""
        check_batch(batch_size)
        self._check_same_batch(batch_size)
        self._batch_size = batch_size
        super().step(batch_size, ignore_stale_grad)

    def update(self, batch_size: float, ignore_stale_grad: bool = False) -> None:
        """The part of a step after ``allreduce_grads``; as in Gluon."""
        check_batch(batch_size)
        self._batch_size = batch_size
        super().update(batch_size, ignore_stale_grad)

    def _allreduce_grads(self) -> None:
        self._before_step()     # a kvstore moves the weights in here
        if not self._went_back:
            self._note_step()
            super()._allreduce_grads()

    def _before_step(self) -> None:
        self._check_others()
        if self._keeper is not None:
            try:
                self._keeper.before_step()
            except DivergenceError as e:
                self._diverged(e)
                self._went_back = True

    def _update(self, ignore_stale_grad: bool = False) -> None:
        self._before_step()
        if self._went_back:     # the gradient is that of the place where the chain diverged
            self._went_back = False
            self._keeper.no_step()
            return
        # Both step() and update() end here, and it returns early where AMP skips the step.
        self._look_at_the_loop()
        super()._update(ignore_stale_grad)
        failure = getattr(self._optimizer, "_failure", None)
        if failure is not None:     # swallowed by the kvstore a moment ago
            self._optimizer._failure = None
            raise failure
        here = self._updates_done() != self._seen       # else a server has made it
        if not here and not self._distributed:
            if self._keeper is not None:
                self._keeper.no_step()
            return
        self._stepped(1, here)

    def _stepped(self, steps: int, here: bool = True) -> None:
        """After an update, or several of which only the last ends in anything to be done."""
        self._seen = self._updates_done()
        kept = False
        try:
            for ahead in range(steps - 1, -1, -1):
                self.num_steps += 1
                kept = self._consider(self._optimizer.num_update - ahead if here else self.num_steps)
            self._watch.after_step(self)
            self._compare_replicas()
            if self._keeper is not None:
                self._keeper.after_step(self, kept)
        except DivergenceError as e:
            self._diverged(e)
        if self._progress is not None:
            self._progress.update(self)

    # ---------------------------------------------------------------- divergence, and the end

    def _diverged(self, error: DivergenceError) -> None:
        """Go back to a checkpoint, if that is wished for, or raise with what can be done."""
        if self._keeper is None and isinstance(self.samples, MemoryStore):
            self.samples.discard_not_finite()
        elif self.on_divergence == "halve":
            self._keeper.go_back(self, error)
            return
        where = f" ({self._keeper.advice()})" if self._keeper is not None else ""
        if self._distributed and self._update_on_kvstore:
            where += ". If an update failed on the server, its log says so"
        raise DivergenceError(f"{error}{where}. Write a smaller learning_rate, more friction, or a longer burn_in "
                              "with a schedule that grows slowly; samples that are not finite are not kept") from error

    def _is_well_at_the_end(self) -> bool:
        try:
            self._watch.at_end(self)
        except DivergenceError as e:
            self._diverged(e)
            return False
        return True

    # ---------------------------------------------------------------- predicting

    def _context(self) -> mx.Context:
        return self._contexts[0]

    def _unsound(self) -> Iterator[Tuple[str, str]]:
        yield from self._first_steps.findings(self)
        size = sum(p.data(self._contexts[0]).size for p in self._params if p.grad_req != "null")
        yield from unsound(self.net, self.samples, getattr(self._optimizer, "temperature", None), size,
                           self._recorded)
