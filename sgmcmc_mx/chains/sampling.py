"""sample_chains: who runs which chain, what is done when one ends, and what is left at the end."""
from __future__ import annotations

import concurrent.futures as futures
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Sequence, Union

import mxnet as mx

from .._check import warn
from .._generators import generators_kept
from ..errors import StoreError
from ..store.reading import MANIFEST, folder_of
from . import books
from .arguments import Plan, checked_plan
from .calling import Calling
from .runs import Runs, runs_of
from .setup import Chain, ChainSetup, chain_of
from .warm_start import Start
from .worker import set_up

__all__ = ["sample_chains"]


def sample_chains(build: Callable[[Chain], ChainSetup], chains: int = 4, *, steps: int,
                  executor: Union[None, str, futures.Executor] = None, max_workers: Optional[int] = None, seed: int = 0,
                  store: Union[None, str, os.PathLike] = None, warm_start: Start = None, threads: int = 1,
                  context: Union[None, mx.Context, Sequence[mx.Context]] = None, restarts: int = 3,
                  progress: bool = False, weights: str = "chain") -> Runs:
    """Sample several chains, each in a process of its own, and average over all of them:

        p(y | x) = 1/K sum_k sum_s w_ks p(y | x, w_ks),   sum_s w_ks = 1 in each of the K chains.

    Every chain is a function of ``seed``, its index and what ``build`` says, and of nothing else: it is the same, bit
    for bit, whatever the executor, the number of workers, their order, the other chains, and however often it was
    interrupted. Call it again with the same arguments, and what is missing is done.

    Parameters
    ----------
    build : callable
        ``build(chain) -> ChainSetup``, a function at the top of a module, which the chain's process calls. MXNet's,
        NumPy's and Python's generators are seeded for the chain before, so that initial weights are its own.
    chains : int, default 4
        How many. More than the last time adds chains to those that are there.
    steps : int
        Steps of each chain, burn-in included and warm start not. More than the last time goes on.
    executor : concurrent.futures.Executor or 'vectorized', optional
        What runs the chains. ``'vectorized'``: this process runs them side by side. Stacks of dense layers on data in
        an :class:`~sgmcmc_mx.data.ArrayLoader` move as one native operation on all cores, which for small networks is
        many times faster; others take turns, and are no faster than one after the other. Networks that drop units are
        refused, for MXNet's generator is one for the whole process.
        Else ``ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))``, loky's, that of
        ``dask.distributed.Client.get_executor()``, or any whose workers are processes that see the folder. It is not
        shut down. Threads of one process are refused, for generators belong to a process. Default: a fresh
        process for each chain, as many at once as there are cores for their threads; if one dies no other notices.
    max_workers : int, optional
        How many processes at once, where no executor is given.
    seed : int, default 0
        Below 2**64. The seed of chain k is ``numpy.random.SeedSequence(seed, spawn_key=(k,)).generate_state(2)``, the
        first word on the left, so that the noise of chains is independent, and chain k is the same among 4 and 400.
    store : str or os.PathLike, optional
        A folder for ``chain-00``, ``chain-01``, ..., each the store of one chain. Default: a temporary one,
        whose samples are in memory at the end, or memory from the beginning where small networks go side by side;
        nothing can be gone on with then.
    warm_start : WarmStart, path or list of paths, optional
        Ordinary training of each chain's network before its first step; or ``.params`` files, one for all or one each.
        Default: chains begin where ``build`` leaves the network.
    threads : int, default 1
        Threads of each chain. More than there are cores for all chains make all of them slow.
    context : mxnet.Context or list of it, optional
        Where chains compute; of a list, chain k has the k-th, round and round. Default: ``mx.cpu()``.
    restarts : int, default 3
        How often a chain whose process died goes on from its store in a new one.
    progress : bool, default False
        Show one bar for all chains. It reads their folders, and so shows workers anywhere.
    weights : 'chain' or 'sample', default 'chain'
        What counts alike in averages: chains, however many samples each has, or samples.

    Returns
    -------
    Runs
        The samples of each chain, and of all. What a chain failed of, for good, is in ``runs.failures`` and is warned
        of; the other chains are not concerned.

    Raises
    ------
    ValueError, TypeError
        If an argument is wrong, or the folder's chains were begun with other options.
    RuntimeError
        If all chains have failed.
    KeyboardInterrupt
        At Ctrl-C, after each chain has written a checkpoint.

    Notes
    -----
    Each chain draws minibatches of its own, for its loader takes its seed from the chain's generators. A loader with a
    fixed ``seed=`` gives all chains the same minibatches in the same order. Their gradient noise is then common: each
    chain's law is what it was, but the chains are not independent, and their spread tells too little.

    A chain that diverged, or whose ``build`` raised, is not begun again in this call, but at the next. A worker runs
    one chain at a time: more threads than one in a worker of dask wait for each other.

    Examples
    --------
    >>> def build(chain):
    ...     net = gluon.nn.Dense(10, in_units=784)
    ...     net.initialize(mx.init.Xavier(), ctx=chain.context)
    ...     data = sg.data.ResumableLoader(gluon.data.ArrayDataset(x, y), 100)
    ...     return sg.ChainSetup(net, sg.likelihoods.Categorical(), data, 'sgnht', {'learning_rate': 0.05},
    ...                          burn_in=1000, thin=100)
    >>> if __name__ == '__main__':
    ...     runs = sg.sample_chains(build, chains=4, steps=5000, store='runs/b', warm_start=sg.WarmStart(epochs=20))
    ...     probs = runs.predict(x_test)
    """
    plan = checked_plan(build, chains, steps, executor, max_workers, seed, warm_start, threads, context, restarts,
                        progress, weights)
    with _folder(store) as folder:
        header = _begun(folder, plan)
        calling = Calling(plan, folder, None if isinstance(executor, str) else executor, store is not None)
        calling.run()
        runs = runs_of(folder, header, lambda: _made(plan), weights, calling.in_memory)
        if store is None:
            runs = runs.in_memory()
    _report(runs)
    return runs


@contextlib.contextmanager
def _folder(store: Union[None, str, os.PathLike]) -> Iterator[Path]:
    """Where the chains are kept."""
    if store is not None:
        yield Path(os.path.abspath(folder_of(store)))
        return
    with tempfile.TemporaryDirectory(prefix="sgmcmc_mx-") as folder:
        yield Path(folder)


def _begun(folder: Path, plan: Plan) -> Dict[str, Any]:
    """What the folder says of its chains, which may have become more, or longer."""
    if os.path.lexists(folder / MANIFEST):
        raise StoreError(f"store={str(folder)!r} holds the run of a single chain; write to another folder")
    mine: Dict[str, Any] = {"chains": plan.chains, "steps": plan.steps, "seed": plan.seed,
                            "warm_start": plan.warm_start}
    its = books.read_header(folder) or mine
    for name, value in mine.items():
        other = value < its[name] if name in ("chains", "steps") else value != its[name]
        if other:
            raise ValueError(f"{name}={value!r:.200} is given, and the chains in {folder} were begun with {name}="
                             f"{its[name]!r:.200}; write that, or another folder")
    if its != {"format": books.FORMAT, **mine}:
        books.write_header(folder, mine)
    return mine


def _made(plan: Plan) -> ChainSetup:
    """A network as the chains have, in this process, whose generators stand as they stood (but for MXNet's)."""
    with generators_kept():
        return set_up(plan.build, chain_of(plan.seed, 0, plan.context(0), plan.threads))


def _report(runs: Runs) -> None:
    """Say which chains have failed; raise where none is left."""
    if not runs.failures:
        return
    first, failure = next(iter(runs.failures.items()))
    told = f"chain {first} {failure.kind} at step {failure.step}: {failure.error}"
    again = "call sample_chains again to go on with it" if runs.path is not None else "give a store to go on with it"
    if len(runs.failures) == len(runs):
        raise RuntimeError(f"all {len(runs)} chains have failed; {told}\n\n{failure.traceback}")
    others = f" (and chains {', '.join(map(str, list(runs.failures)[1:21]))})" if len(runs.failures) > 1 else ""
    warn(f"{told}{others}; its traceback is in runs.failures, averages are over the other chains; {again}")
