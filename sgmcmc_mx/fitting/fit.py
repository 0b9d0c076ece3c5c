"""sg.fit: hold out, train, ask for advice, run chains, till the budget is spent."""
from __future__ import annotations

import concurrent.futures as futures
import os
from typing import Any, Mapping, Optional, Union

import mxnet as mx

from .._check import choice, flag, integer
from .._network import Loss
from ..batches.layout import BatchLayout
from ..chains import WarmStart
from ..kernels.seeds import checked_seed
from ..priors import PriorLike
from ..samplers import Sampler
from ..tuning.arguments import AUTO, check_free
from .arrays import Validation, parted, settled
from .budget import Clock, Given, checked_budget
from .call import Call
from .choosing import BATCH_SIZE, OPTIMIZER, SUGGEST, given_params, usual_pilot
from .fitted import Fit
from .folder import Folder
from .network import Maker, Network, candidates

__all__ = ["fit"]


def fit(net: Union[Network, Mapping[str, Network]], likelihood: Loss, x: Any, y: Any = None, *,
        validation: Validation = AUTO, chains: int = 4, budget: Given = 60, samples: int = 150,
        store: Union[None, str, os.PathLike] = None, seed: int = 0, prior: Union[None, PriorLike] = SUGGEST,
        optimizer: Optional[str] = None, optimizer_params: Optional[Mapping[str, Any]] = None,
        batch_size: Optional[int] = None,
        warm_start: Union[None, str, WarmStart] = AUTO, pilot: Optional[int] = None,
        executor: Union[None, str, futures.Executor] = None, context: Optional[mx.Context] = None,
        layout: Optional[BatchLayout] = None, progress: bool = False) -> Fit:
    """From a network and its data to chains and their predictions, in one call.

    A part of the data is held out, where something is chosen by it. Each chain's network is trained, with early
    stopping; at the first one's weights :func:`sgmcmc_mx.suggest` proposes step and prior; then
    :func:`sgmcmc_mx.sample_chains` samples till the budget is spent. ``docs/five_lines.md`` shows it.

    Parameters
    ----------
    net : gluon.Block, callable, or dictionary of them
        The network, which stays as it is: chains have copies. Where it is initialised they begin at its weights, else
        each chain draws its own. Or a function without arguments that returns a network; if it stands at the top of a
        module, chains may run in processes of their own. Of several by name the one is taken that predicts the
        held-out part best after its training.
    likelihood : Likelihood or gluon.loss.Loss
        -log p, one value an example.
    x, y : arrays
        Examples along the first axis. A network of several inputs takes a tuple of arrays as x. Without y the last
        array of x has the labels.
    validation : float, tuple of arrays or 'auto', default 'auto'
        The fraction that is held out, drawn by the seed, or the examples themselves, ``(x_val, y_val)``. No chain sees
        them. 0: none, and then nothing can be chosen by them. ``'auto'``: 0.1 where something is, which is with several
        networks or ``prior='suggest'``, else 0, for all examples make the posterior better.
    chains : int, default 4
    budget : float or str, default 60
        Seconds for all of it, the training included; or ``'2 min'``; or ``'5000 steps'`` of each chain, burn-in
        included and training not: then the same seed gives the same samples. However short the time, each chain makes
        some 60 steps; and ``suggest``, which has three tenths of it, looks at six places at least, so that on a busy
        machine a short budget is overrun.
    samples : int, default 150
        Of each chain, somewhat more than ``summary()`` needs where they are independent; :meth:`Fit.resume` adds to
        them.
    store : str or os.PathLike, optional
        A folder for the chains. The same call goes on with what is there: to as many steps as the budget says, or for
        as many seconds more. ``sg.load`` reads it. Default: a temporary one.
    seed : int, default 0
    prior : 'suggest', None or what a sampler takes, default 'suggest'
        ``'suggest'``: the precision of a Gaussian by what short chains predict of the held-out part; it costs some
        thousand steps by MXNet's operators. A number, ``'fan_in'``, an object of :mod:`sgmcmc_mx.priors`. None: the
        sampler's ``wd``.
    optimizer, optimizer_params : optional
        The sampler, and those of its arguments that are settled. ``suggest`` is not asked where they have a
        ``learning_rate``, and the prior is given. Default: where nothing of these is said, nor ``batch_size``, and the
        network is a stack of dense layers of at most three million weights times examples, ``sgnht`` on all data at
        every step, whose friction can then be small; half of the steps, which are not kept, with a long step. Else
        ``sgnht`` on minibatches. ``'auto'``: sampler, size of the batches and control variates as
        :func:`sgmcmc_mx.suggest` chooses them; where minibatch noise is correlated that keeps widths right at a
        fraction of the passes over the data, and where it is not the choice is ``sgnht``, as a rule.
    batch_size : int, optional
        At most. Default: all, where that is said above, else 100. Training has batches of 100 at most by default.
        With ``optimizer='auto'`` the smallest: 4 and 16 times as many are compared.
    warm_start : 'auto', WarmStart or None, default 'auto'
        ``'auto'``: Adam at .005, at most 10,000 steps and three tenths of the seconds for all networks, until the
        likelihood of a tenth of what the chain sees has not grown for 1,000 steps; the best weights are taken. None: no
        training.
    pilot : int, optional
        As for :func:`sgmcmc_mx.suggest`. Default: 300; of a budget in seconds 2 a second, at least 30.
    executor : optional
        As for :func:`sgmcmc_mx.sample_chains`. Default: side by side in this process, where the network is a stack of
        dense layers, or is a Block that no other process could build; else processes.
    context : mxnet.Context, optional
        Default: ``mx.cpu()``.
    layout : BatchLayout, optional
        Which entries are inputs, where the network does not say so.
    progress : bool, default False
        Show a bar while chains run.

    Returns
    -------
    Fit
        ``.predict(x, interval=.9)``, ``.summary()``, ``.runs``, ``.chosen``, ``.resume('2 min')``.

    Raises
    ------
    ValueError, TypeError
        If an argument is wrong, or the store holds another fit.

    Examples
    --------
    >>> net = gluon.nn.HybridSequential()
    >>> net.add(gluon.nn.Dense(50, 'relu'), gluon.nn.Dense(10))
    >>> found = sg.fit(net, sg.likelihoods.Categorical(), x, y, budget=60)
    >>> probs = found.predict(x_test)
    """
    clock, limit = Clock(), checked_budget(budget)
    chains = integer("chains", chains, "a number of chains, such as chains=4", low=1)
    samples = integer("samples", samples, "samples of each chain, such as samples=100", low=1)
    if batch_size is not None:
        batch_size = integer("batch_size", batch_size, "examples in a batch, such as batch_size=100", low=1)
    if optimizer is not None:
        choice("optimizer", optimizer, [*(name for name, its in mx.optimizer.Optimizer.opt_registry.items()
                                          if issubclass(its, Sampler)), AUTO])
    flag("progress", progress, "True shows one bar for all chains")
    if context is not None and not isinstance(context, mx.Context):
        raise TypeError(f"context must be a context of MXNet, got {context!r:.80}; write mx.gpu(0)")
    if warm_start is not None and warm_start != AUTO and not isinstance(warm_start, WarmStart):
        raise TypeError(f"warm_start must be 'auto', a WarmStart or None, got {warm_start!r:.80}; write "
                        "sg.WarmStart('adam', epochs=20)")
    seed = checked_seed(seed)
    given, suggest_prior = given_params(optimizer_params, prior)
    is_free = optimizer is None and batch_size is None and not optimizer_params
    networks, folder = candidates(net), Folder(store)
    kept = folder.read()
    data = parted(x, y, settled(validation, suggest_prior or len(networks) > 1, kept), seed)
    makers = {name: Maker(one, likelihood, data, batch_size or BATCH_SIZE, layout) for name, one in networks.items()}
    call = Call(makers, folder, chains, seed, context or mx.cpu(), limit, clock)
    pilot = usual_pilot(limit.seconds) if pilot is None else pilot
    if optimizer == AUTO:
        check_free(given, pilot)
    if kept is None:
        kept = call.begin(optimizer or OPTIMIZER, is_free, given, suggest_prior, warm_start, pilot, samples, executor)
    if (batch_size is None or optimizer == AUTO) and kept["network"] in makers:
        makers[kept["network"]].batch_size = kept["batch_size"]
    return call.go_on(kept, kept["optimizer"] if optimizer in (None, AUTO) else optimizer, given, executor, progress)
