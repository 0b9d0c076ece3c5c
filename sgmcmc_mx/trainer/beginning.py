"""One call for a run that is there and for one that is not, with the arguments that begin it."""
from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple, Union

from mxnet import gluon
from mxnet import optimizer as opt

from ..checkpoint.content import LATER, SETTINGS
from ..store import FolderStore, checkpoints
from ..store.manifest import differing
from ..store.numbers import checked_inputs, same
from ..store.reading import MANIFEST, folder_of, inputs_of, read_manifest
from ..workers import Group
from .arguments import as_json

__all__ = ["arguments_of", "begin", "begin_or_resume", "can_resume", "check_folder", "check_options",
           "check_same_run", "other_run"]

_OF_THE_FOLDER = {"keep_last": None, "dtype": None, "signals": True}


def begin_or_resume(cls: Any, net: gluon.Block, args: tuple, store: Union[str, os.PathLike],
                    store_options: Optional[Mapping], options: dict) -> Any:
    """See :meth:`sgmcmc_mx.BayesianTrainer.begin_or_resume`."""
    folder = check_options(store, store_options)
    group = Group.of(options.get("kvstore"))
    if not _all_can_resume(folder, group):
        return (begin if group is None or not group.rank else _begin_beside)(cls, (net, *args), folder, store_options,
                                                                             options)
    given, params = check_same_run(cls, net, args, folder, store_options, options)
    optimizer = given["optimizer"]
    brought = {"likelihood": given["likelihood"], "lr_scheduler": params.get("lr_scheduler"),
               "prior": params.get("prior"), "kvstore": given.get("kvstore"),
               "optimizer": optimizer if isinstance(optimizer, opt.Optimizer) else None}
    return cls.resume(folder, net, data=given["data"], progress=given["progress"], **brought)


def check_same_run(cls: Any, net: gluon.Block, args: tuple, folder: Path, store_options: Optional[Mapping],
                   options: dict) -> Tuple[dict, dict]:
    """Raise unless the run of a folder was begun with these arguments; returns them by name, and the sampler's own."""
    given = arguments_of(cls, (net, *args), options)
    optimizer, params = given["optimizer"], dict(given["optimizer_params"] or {})
    if given["seed"] is not None:
        params["seed"] = given["seed"]
    is_made = isinstance(optimizer, opt.Optimizer)
    known = type(optimizer) if is_made else opt.Optimizer.opt_registry.get(str(optimizer).lower())
    about: Dict[str, Any] = {"options": {name: as_json(value) for name, value in params.items()}}
    if known is not None:
        about["sampler"] = known.__name__.lower()
    _check_same(folder, about, {name: given[name] for name in SETTINGS}, store_options or {})
    return given, params


def can_resume(folder: Path) -> bool:
    """Whether a folder holds a run with something to go on from, sound or damaged."""
    return os.path.lexists(folder / MANIFEST) and bool(checkpoints.steps(folder))


def _all_can_resume(folder: Path, group: Optional[Group]) -> bool:
    """Worker 0 looks for all: the folder may change while another one looks."""
    if group is None:
        return can_resume(folder)
    return group.share(b"resume" if group.rank == 0 and can_resume(folder) else b"begin") == b"resume"


def _begin_beside(cls: Any, args: tuple, folder: Path, store_options: Optional[Mapping], options: dict) -> Any:
    """A chain whose folder worker 0 writes."""
    return cls(*args, **options, store=folder)


def begin(cls: Any, args: tuple, folder: Path, store_options: Optional[Mapping], options: dict) -> Any:
    """A chain in a folder; nothing came of it, nobody holds that."""
    store = FolderStore(folder, **(store_options or {}))
    try:
        return cls(*args, **options, store=store)
    except BaseException:
        store.close()
        raise


def arguments_of(cls: Any, args: tuple, options: dict) -> dict:
    """What a chain would be made with, by name, defaults included."""
    bound = inspect.signature(cls.__init__).bind(None, *args, **options)
    bound.apply_defaults()
    given = dict(bound.arguments)
    for name in ("trainer_kwargs", "unknown", "kwargs"):
        given.update(given.pop(name, {}))
    return given


def check_options(store: Any, options: Any) -> Path:
    """The folder that is meant, and options that a folder has."""
    if isinstance(store, FolderStore):
        raise TypeError("store must be the path of a folder, which is opened as a new run or as the one that is there, "
                        "got a FolderStore; write store='runs/a', store_options={'keep_last': 100}")
    if not isinstance(store, (str, os.PathLike)):
        raise TypeError(f"store must be the path of a folder, got {store!r:.200}; write store='runs/a'")
    known = {*_OF_THE_FOLDER, "inputs"}
    if options is not None and (not isinstance(options, Mapping) or set(options) - known):
        raise TypeError(f"store_options must be a dictionary with some of {', '.join(sorted(known))}, got "
                        f"{options!r:.200}; write store_options={{'keep_last': 100}}")
    return folder_of(store)


def _check_same(folder: Path, about: dict, settings: dict, store_options: Mapping) -> None:
    """Raise unless the run of a folder was begun with the same options."""
    header = read_manifest(folder).header
    kept: dict = next(({**LATER, **c["settings"]} for c in checkpoints.contents(folder)
                       if isinstance(c.get("settings"), dict)), {})
    other = differing(about, header)
    if other is None:
        other = next(((name, value, kept[name]) for name, value in settings.items()
                      if name in kept and value != kept[name]), None)
    if other is not None:
        raise other_run(folder, *other)
    check_folder(folder, header, store_options)


def check_folder(folder: Path, header: dict, store_options: Mapping) -> None:
    """Raise unless samples are kept as the run keeps them."""
    for name, usual in _OF_THE_FOLDER.items():
        if store_options.get(name, usual) != header.get(name, usual):
            raise other_run(folder, name, store_options.get(name, usual), header.get(name, usual))
    inputs: Any = store_options.get("inputs")
    its: Any = inputs_of(folder, header)
    if (inputs is None) != (its is None) or (inputs is not None and not same(checked_inputs(inputs), its)):
        raise ValueError(f"the inputs of store_options are not those of the run in {folder}; write store_options as it "
                         "was for the run, or another folder")


def other_run(folder: Path, name: str, mine: object, its: object) -> ValueError:
    """Of an option in which the run that is there is another one."""
    return ValueError(f"{name}={mine!r:.80} is given, and the run in {folder} was begun with {name}={its!r:.80}; write "
                      "that, or another folder")
