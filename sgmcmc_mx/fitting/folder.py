"""Where a fit keeps its chains: a folder of the user's, or one of its own that goes where it goes."""
from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Dict, Optional, Union

from ..errors import StoreError
from ..store import files
from ..store.reading import folder_of

__all__ = ["Folder"]

CHOSEN = "fit.json"
_FORMAT = 1
_MOST = 1 << 20     # bytes of it


class Folder:
    """A folder of the user's, or a temporary one, whose content is part of a pickle."""

    def __init__(self, store: Union[None, str, os.PathLike]) -> None:
        self._own: Optional[tempfile.TemporaryDirectory] = None
        if store is None:
            self._own = tempfile.TemporaryDirectory(prefix="sgmcmc_mx-")
            self.path = Path(self._own.name)
        else:
            self.path = Path(os.path.abspath(folder_of(store)))

    @property
    def is_own(self) -> bool:
        return self._own is not None

    def start(self, index: int) -> Path:
        """The file of the weights at which a chain begins."""
        return self.path / f"start-{index:02d}.params"

    def read(self) -> Optional[Dict[str, Any]]:
        """What was chosen, if a fit has begun here."""
        if not os.path.lexists(self.path / CHOSEN):
            return None
        try:
            found = json.loads(files.read_within(self.path, CHOSEN, _MOST))
            version = found["format"]
        except (ValueError, KeyError, TypeError, RecursionError) as e:
            raise StoreError(f"{self.path / CHOSEN} is damaged ({type(e).__name__}: {e}); put the file there that was "
                             "written for the fit, or write to another folder") from e
        if version != _FORMAT:
            raise StoreError(f"{self.path / CHOSEN} has format {version!r:.80}, and this package knows {_FORMAT}; "
                             "install the package that has written it")
        return found

    def write(self, chosen: Dict[str, Any]) -> None:
        """Keep what was chosen."""
        content = json.dumps({"format": _FORMAT, **chosen}, indent=1).encode() + b"\n"
        files.replace(self.path / CHOSEN, [content])

    def begin(self) -> None:
        """Have the folder exist, without what a fit has left that never came to its chains."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StoreError(f"store={str(self.path)!r} cannot be written to: {e.strerror}; write the path of a folder "
                             "of yours, with room") from e
        for path in self.path.glob("start-*.params"):
            files.remove(path)

    def __getstate__(self) -> Dict[str, Any]:
        if not self.is_own:
            return {"path": str(self.path)}
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(str(self.path), arcname=".")
        return {"packed": packed.getvalue()}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__init__(state.get("path"))        # type: ignore[misc]
        if self.is_own:
            with tarfile.open(fileobj=io.BytesIO(state["packed"])) as archive:
                archive.extractall(str(self.path))      # what this class has packed, in a pickle
