"""The checksums of a store, be it of one chain or of several."""
from __future__ import annotations

import os
from pathlib import Path
from typing import List, Tuple

from ...chains.books import RUNS, read_header, read_progress
from ...errors import StoreError
from ...fitting.folder import CHOSEN, Folder
from ...store import BadFile, verify
from ...store.reading import MANIFEST, folder_of, no_run
from .recipe import RECIPE, read_recipe

__all__ = ["verified"]


def verified(store: str) -> Tuple[int, List[BadFile]]:
    """How many files were looked at, and those that are not what was written, named from the store's folder."""
    folder = folder_of(store)
    known = [name for name in (RUNS, CHOSEN, RECIPE) if os.path.lexists(folder / name)]
    if not known:
        if not os.path.lexists(folder / MANIFEST):
            raise no_run(folder, "give the folder that was written as --store, or store=...")
        return verify(folder)
    bad: List[BadFile] = []
    for name, read in ((RUNS, read_header), (CHOSEN, lambda f: Folder(f).read()), (RECIPE, read_recipe)):
        try:
            if name in known:
                read(folder)
        except StoreError as e:
            bad.append(BadFile(name, str(e)))
    chains = sorted(path for path in folder.glob("chain-*") if path.is_dir())
    if chains and RUNS not in known:
        bad.append(BadFile(RUNS, f"{folder / RUNS} is not there, and chains are; put the file there that was written "
                                 "for them"))
    count = len(known)
    for chain in chains:
        more, its = _of_chain(chain)
        count += more
        bad += [BadFile(f"{chain.name}/{name}", problem) for name, problem in its]
    return count, bad


def _of_chain(folder: Path) -> Tuple[int, List[BadFile]]:
    if os.path.lexists(folder / MANIFEST):
        return verify(folder)
    if not read_progress(folder).samples:
        return 0, []        # it has not kept one yet
    return 0, [BadFile(MANIFEST, f"{folder / MANIFEST} is not there, and its chain has kept samples; put it back")]
