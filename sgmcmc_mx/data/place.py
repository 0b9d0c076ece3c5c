"""What the batches of a run come from, as one object that knows its place and can be put back to it."""
from __future__ import annotations

from typing import Any, Protocol, Sequence, Union, cast

__all__ = ["Resumable", "Together", "as_resumable"]


class Resumable(Protocol):
    """What knows its place, and can be put back to it."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> None: ...


class Together:
    """Several things whose state belongs to a run, as one."""

    def __init__(self, parts: Sequence[Resumable]) -> None:
        self.parts = parts

    def state_dict(self) -> dict:
        """The states of all."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict) -> None:
        """Go to the states of all. Raises ValueError where they are others, or of another number of things."""
        states = state.get("parts") if isinstance(state, dict) else None
        if not isinstance(states, list) or len(states) != len(self.parts):
            raise ValueError(f"data is a list of {len(self.parts)}, and was not in the run; give what was given to it, "
                             "in the same order")
        for part, its in zip(self.parts, states):
            part.load_state_dict(its)


def as_resumable(data: Union[Resumable, Sequence[Any]]) -> Resumable:
    """What the batches come from, or a list of such things, as one object that knows its state.

    Raises
    ------
    TypeError
        Where one of them does not.
    """
    if isinstance(data, (list, tuple)) and data:
        return Together([as_resumable(part) for part in data])
    missing = [name for name in ("state_dict", "load_state_dict") if not callable(getattr(data, name, None))]
    if missing:
        raise TypeError(f"data must know its place, and {type(data).__name__} has no {missing[0]}(); write "
                        "sgmcmc_mx.data.ResumableLoader(dataset, batch_size), or leave data out")
    return cast(Resumable, data)
