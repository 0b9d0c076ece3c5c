"""One chain from where it stands to its end, in whichever process this is called."""
from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Optional, Tuple

import mxnet as mx

from .._generators import generators_kept, seed_generators
from .._network import check_likelihood, check_net
from ..data import as_resumable
from ..errors import DivergenceError
from ..gradients.batches_of import BatchesOf
from ..gradients.native import fitting_stack
from ..store import MemoryStore, files
from ..store.folder import checked_options
from ..trainer import BayesianTrainer
from ..trainer.arguments import check_hotter, checked_params, checked_settings, number_of_examples
from ..trainer.beginning import can_resume, check_same_run
from ..trainer.roads import Road, go, road_of
from ..tuning.threads import tune_threads
from .books import Progress, folder_of_chain, has_header, read_progress, stopped, write_progress
from .claims import Claim, Superseded
from .setup import Chain, ChainSetup, chain_of
from .variates import checked_variates, had_variates, variates_of
from .warm_start import warm

__all__ = ["Begun", "Refused", "Task", "begun", "note_failure", "run_chain", "set_up"]

EVERY = 0.25        # seconds between two looks up from the steps
_alone = threading.Lock()       # generators, and the number of threads, belong to a process


class Refused(ValueError):
    """The run that a chain's folder holds was begun with other options."""


class Stopped(Exception):
    """Somebody has asked all chains to end."""


@dataclass(frozen=True)
class Task:
    """What a chain's process is told. ``steps=None``: only see whether its options are those of the run."""

    build: Callable[[Chain], ChainSetup]
    folder: str         # of all chains
    seed: int           # of all chains
    index: int
    steps: Optional[int]
    context: str
    threads: int
    start: Any
    call: str
    caller: Tuple[str, int]     # host and process that have asked for it
    attempt: int = 0    # dask answers a task that equals an earlier one with what came of that
    lasting: bool = True    # else the folder goes with this call and this process, and nothing goes on from it


def run_chain(task: Task) -> Progress:
    """Do a chain's steps, as far as they are not done, and say what came of it. Only what ends a process is raised."""
    main = threading.current_thread() is threading.main_thread()
    if task.caller == (socket.gethostname(), os.getpid()) and not main:
        return Progress("failed", error="executor runs chains on threads of the process that asks for them")
    if not has_header(Path(task.folder)):
        return Progress("refused", error=f"Refused: store={task.folder!r} is not there for process {os.getpid()} on "
                        f"{socket.gethostname()}, which was to run chain {task.index}; write the path of a folder that "
                        "all of the executor's workers see under it")
    folder = folder_of_chain(Path(task.folder), task.index)
    with _alone:
        if stopped(Path(task.folder), task.call):
            return Progress("stopped")
        try:
            with generators_kept(), tune_threads(task.threads):
                return _in_turn(task, folder)
        except Superseded:
            return Progress("superseded")
        except (Exception, KeyboardInterrupt) as e:
            return note_failure(folder, e)


def note_failure(folder: Path, e: BaseException) -> Progress:
    """What has become of a chain that raised, as its folder says it from now on."""
    where = read_progress(folder)
    if isinstance(e, (Stopped, KeyboardInterrupt)):
        found = where.ended("stopped")
    else:
        phase = "refused" if isinstance(e, Refused) else "diverged" if isinstance(e, DivergenceError) else "failed"
        found = where.ended(phase, e, "".join(traceback.format_exception(type(e), e, e.__traceback__)))
    if found.phase != "refused":
        write_progress(folder, found, lasting=True)
    return found


def set_up(build: Callable[[Chain], ChainSetup], chain: Chain) -> ChainSetup:
    """What ``build`` returns for a chain, which is the same whenever and wherever it is called."""
    seed_generators(chain.seed)
    with mx.name.NameManager():     # names of parameters count the networks that a process has built
        setup = build(chain)
    if not isinstance(setup, ChainSetup):
        raise TypeError(f"build must return a ChainSetup, got {setup!r:.80} of type {type(setup).__name__}; write "
                        "return sg.ChainSetup(net, likelihood, data, ...)")
    check_net(setup.net)
    check_likelihood(setup.likelihood)
    as_resumable(setup.data)
    if not isinstance(setup.optimizer, str):
        raise TypeError(f"optimizer must be a sampler's name, got {setup.optimizer!r:.80}; write 'sgnht', and its "
                        "arguments in optimizer_params")
    checked_variates(setup.control_variates)
    return setup


def _in_turn(task: Task, folder: Path) -> Progress:
    while True:
        try:
            return _run(task, folder)
        except files.InUse:     # an older attempt has opened the store during this one's warm start; it ends soon
            pass


def _run(task: Task, folder: Path) -> Progress:
    with begun(task, folder) as chain:
        if chain is not None and task.steps is not None:
            try:
                go([chain.road], task.steps, chain.looking.at_step)
            except DivergenceError:
                chain.looking.note(chain.road)
                raise
    return read_progress(folder)


class Begun(NamedTuple):
    """A chain that goes on from here."""

    trainer: BayesianTrainer
    road: Road
    looking: Looking


@contextlib.contextmanager
def begun(task: Task, folder: Path, of: int = 1) -> Iterator[Optional[Begun]]:
    """A chain, one ``of`` so many in this process, where it goes on; its store is closed at the end.

    None where its options were only to be seen, and are right.
    """
    chain = chain_of(task.seed, task.index, mx.Context(*_kind_and_number(task.context)), task.threads)
    setup = set_up(task.build, chain)
    params = dict(setup.optimizer_params or {})
    length = number_of_examples(setup.data)
    if length is not None:
        params.setdefault("num_data", length)
    args = (setup.optimizer, params, setup.likelihood)
    options = {**setup.trainer_options(), "seed": chain.seed, "data": setup.data, "kvstore": None}
    if can_resume(folder):
        try:
            check_same_run(BayesianTrainer, setup.net, args, folder, setup.store_options, options)
        except ValueError as e:
            raise Refused(str(e)) from e
        has = checked_variates(setup.control_variates) is not None
        if has != had_variates(folder):
            raise Refused(f"control_variates={setup.control_variates!r:.80} is given, and the run in {folder} was "
                          f"begun {'without' if has else 'with'} them; write control_variates={not has}, or another "
                          "folder")
    if task.steps is None:
        yield None
        return
    with Claim(folder, task.call) as claim:
        looking = Looking(task, folder, claim, of * EVERY)
        claim.await_store(looking.at_wait)
        batches = BatchesOf(setup.net, setup.data, chain.context, setup.layout)
        if task.start is not None and not can_resume(folder):
            _check_options(setup, params, chain.seed, folder)
            warm(task.start, setup.net, setup.likelihood, setup.data, batches, chain, setup.gradients,
                 looking.at_warm_start)
        variates = variates_of(setup)
        if variates is not None:
            options["data"] = [setup.data, variates]
        in_memory = not task.lasting and _needs_no_folder(setup)
        with (BayesianTrainer(setup.net, *args, **options) if in_memory else
              BayesianTrainer.begin_or_resume(setup.net, *args, store=folder, store_options=setup.store_options,
                                              **options)) as trainer:
            yield Begun(trainer, road_of(trainer, setup.data, setup.gradients, batches=batches,
                                         control_variates=variates), looking)
        if isinstance(trainer.samples, MemoryStore):
            found = trainer.samples.discard_not_finite()    # nobody has looked at the last ones
            if found is not None:
                raise DivergenceError(found)
        if trainer.num_steps >= task.steps:
            write_progress(folder, Progress("done", trainer.num_steps, len(trainer.samples)), lasting=True)


def _check_options(setup: ChainSetup, params: dict, seed: int, folder: Path) -> None:
    """Raise what the trainer and its store would, which are made after the warm start only."""
    checked_settings(**setup.trainer_options(), store=folder)
    checked_options(**(setup.store_options or {}))
    with warnings.catch_warnings():     # what is to be told the trainer tells
        warnings.simplefilter("ignore")
        sampler = mx.optimizer.create(setup.optimizer, **checked_params(setup.optimizer, params, seed))
    check_hotter(setup.max_temperature, sampler)


def _needs_no_folder(setup: ChainSetup) -> bool:
    """Whether samples in memory are enough: of many small ones each file and checkpoint takes longer than the steps
    between them.

    They are not where the chain may go back to a checkpoint, or its store has options. Nor where network or data may
    draw from MXNet's generator, which is set anew at every checkpoint; a stack on arrays does not.
    """
    return (setup.on_divergence == "raise" and not setup.store_options
            and not isinstance(fitting_stack(setup.net, setup.likelihood, setup.data), str))


class Looking:
    """Looks up from the steps now and then: says where the chain is, and hears whether it is to end."""

    def __init__(self, task: Task, folder: Path, claim: Claim, every: float) -> None:
        self._task, self._folder, self._claim = task, folder, claim
        self._every, self._when = every, time.monotonic()

    def at_wait(self) -> None:
        self._look(None)        # where the chain is says whoever has its store

    def at_warm_start(self, step: int) -> None:
        self._look(lambda: Progress("warm start", step))

    def at_step(self, road: Road) -> None:
        self._look(lambda: _where(road))

    def note(self, road: Road) -> None:
        """Say where the chain is, at once."""
        write_progress(self._folder, _where(road))

    def _look(self, where: Optional[Callable[[], Progress]]) -> None:
        now = time.monotonic()
        if now - self._when > self._every:
            self._when = now
            self._claim.check()
            if where is not None:
                write_progress(self._folder, where())
            if stopped(Path(self._task.folder), self._task.call):
                raise Stopped


def _where(road: Road) -> Progress:
    return Progress("sampling", road.trainer.num_steps, len(road.trainer.samples))


def _kind_and_number(context: str) -> Tuple[str, int]:
    kind, _, rest = context.partition("(")
    return kind, int(rest.rstrip(")"))
