"""Which entries of a batch are what, where that cannot be read off the network."""
from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence, Tuple, Union

from .._check import integer

__all__ = ["BatchLayout", "Entry"]

Entry = Union[int, str]     # the place of an entry in a batch that is a list, its name in one that is a dictionary


class BatchLayout:
    """Which entries of a batch are the network's inputs, which is the label, and which axis counts examples.

    It is needed only where the network does not say so itself. A network that takes two inputs is given the first two
    entries of a batch, and what follows is the label; a dictionary's entries go by the names of the network's inputs,
    and by ``'label'`` and ``'weight'``.

    Parameters
    ----------
    inputs : int, str, or sequence of them, or dict, optional
        The entries that the network is called with, in its order; as a dictionary the entry of each of its inputs by
        name, ``{'x': 'ids', 'mask': 'attention'}``. An entry that is a list of arrays (states) is handed on as one.
    label : int or str, optional
        The entry with the label.
    weight : int or str, optional
        The entry with the weights of the examples, for the likelihood; there are none by default.
    batch_axis : int or sequence of int, default 0
        The axis of the inputs that counts examples: 1 for sequences in layout TNC. One number for all inputs, or one
        for each.
    label_axis : int, default 0
        The axis of the label that counts examples.
    output_axis : int, optional
        The axis of the network's output that counts examples. Default: the first, or ``batch_axis`` where the output's
        shape says that it is this one. Predictions have their examples first, whatever the axis.

    Examples
    --------
    >>> sg.predict(net, samples, loader, 'softmax', layout=sg.BatchLayout(inputs=(0, 1)))       # (x, mask, index)
    >>> sg.HMC(net, loss, loader, layout=sg.BatchLayout(inputs=0, label=1, weight=2))
    """

    def __init__(self, inputs: Union[None, Entry, Sequence[Entry], Mapping[str, Entry]] = None,
                 label: Optional[Entry] = None, weight: Optional[Entry] = None,
                 batch_axis: Union[int, Sequence[int]] = 0, label_axis: int = 0,
                 output_axis: Optional[int] = None) -> None:
        self.named = {n: _entry("inputs", e) for n, e in inputs.items()} if isinstance(inputs, Mapping) else None
        self.inputs = None if inputs is None else _entries(inputs)
        self.label = None if label is None else _entry("label", label)
        self.weight = None if weight is None else _entry("weight", weight)
        several = isinstance(batch_axis, (list, tuple))
        axes = batch_axis if several else (batch_axis,)
        self.batch_axes = tuple(_axis("batch_axis", a) for a in axes)    # type: ignore[union-attr]
        if not self.batch_axes:
            raise ValueError("batch_axis is empty; write one number for all inputs, or one for each")
        if several and self.inputs is not None and len(self.batch_axes) not in (1, len(self.inputs)):
            raise ValueError(f"batch_axis has {len(self.batch_axes)} numbers for {len(self.inputs)} inputs; write one "
                             "for all of them, or one for each")
        self.label_axis = _axis("label_axis", label_axis)
        self.output_axis = None if output_axis is None else _axis("output_axis", output_axis)
        self.seen: Optional[int] = None     # how many inputs the network was called with in training, if known
        self._check_apart()

    def _check_apart(self) -> None:
        told = [*(self.inputs or ()), *(e for e in (self.label, self.weight) if e is not None)]
        twice = next((e for i, e in enumerate(told) if e in told[:i]), None)
        if twice is not None:
            raise ValueError(f"entry {twice!r} is named twice among inputs, label and weight; each has one meaning")
        if len({type(e) for e in told}) > 1:
            raise ValueError(f"the entries {told!r} are places and names; write numbers for batches that are lists, or "
                             "names for batches that are dictionaries")

    def axis(self, i: int) -> int:
        """The axis of input ``i`` that counts examples."""
        return self.batch_axes[i if len(self.batch_axes) > 1 else 0]

    def check_number(self, inputs: int) -> None:
        """Raise unless the axes are those of so many inputs."""
        if len(self.batch_axes) not in (1, inputs):
            raise ValueError(f"batch_axis has {len(self.batch_axes)} numbers, and the network is called with {inputs} "
                             "inputs; write one for all of them, or one for each")

    def __repr__(self) -> str:
        axes = self.batch_axes[0] if len(self.batch_axes) == 1 else self.batch_axes
        told = (("inputs", self.named or self.inputs, None), ("label", self.label, None),
                ("weight", self.weight, None), ("batch_axis", axes, 0),
                ("label_axis", self.label_axis, 0), ("output_axis", self.output_axis, None))
        return f"BatchLayout({', '.join(f'{name}={value!r}' for name, value, usual in told if value != usual)})"


def _entries(inputs: Any) -> Tuple[Entry, ...]:
    if isinstance(inputs, Mapping):
        inputs = list(inputs.values())
    found = tuple(_entry("inputs", e) for e in (inputs if isinstance(inputs, (list, tuple)) else (inputs,)))
    if not found:
        raise ValueError("inputs is empty; write the entries that the network is called with, such as (0, 1)")
    return found


def _entry(name: str, value: Any) -> Entry:
    if isinstance(value, str):
        return value
    return integer(name, value, "the place of an entry in a batch, or its name", low=0)


def _axis(name: str, value: Any) -> int:
    return integer(name, value, "an axis counted from the first, 0", low=0)
