"""Which entries of a batch are what: decided once for a network, applied to every batch."""
from __future__ import annotations

import re
from typing import Any, List, Mapping, Optional, Tuple

import mxnet as mx
from mxnet import gluon

from .batch import Batch, Tree, is_array, leaves, rows
from .layout import BatchLayout, Entry
from .signature import signature

__all__ = ["Splitter"]

_HOW = "layout=sgmcmc_mx.BatchLayout(inputs=(0, 1), label=2)"


class Splitter:
    """Takes the batches of one network apart.

    Parameters
    ----------
    net : gluon.Block
    layout : BatchLayout, optional
        What the user says of the batches, and how many inputs the network was called with where somebody looked on.
    labelled : bool, default False
        Whether a label is needed. Without, what follows the inputs is of no interest.
    """

    def __init__(self, net: gluon.Block, layout: Optional[BatchLayout] = None, labelled: bool = False) -> None:
        if layout is not None and not isinstance(layout, BatchLayout):
            raise TypeError(f"layout must be a BatchLayout, got {layout!r:.200}; write {_HOW}")
        self.layout = layout or BatchLayout()
        self.labelled = labelled
        self.signature = signature(net)
        seen = self.layout.seen
        self._seen = seen if seen is not None and self.signature.takes(seen) else None
        self._chosen = self._in_order()
        if self._chosen is not None:
            self._check_takes(len(self._chosen))

    def split(self, batch: Any) -> Batch:
        """A batch as it comes from the user's data."""
        if isinstance(batch, mx.io.DataBatch):
            inputs, label, weight = self._of_data_batch(batch)
        elif isinstance(batch, Mapping):
            inputs, label, weight = self._of_mapping(batch)
        elif isinstance(batch, (list, tuple)):
            inputs, label, weight = self._of_list(list(batch))
        else:
            inputs, label, weight = self._of_list([batch])
        self._check_takes(len(inputs))
        self.layout.check_number(len(inputs))
        for i, tree in enumerate(inputs):
            for leaf in leaves(tree):
                self._check_array(leaf, f"input {self._name(i)!r}", batch)
        for what, a in (("label", label), ("weight", weight)):
            if a is not None:
                self._check_array(a, what, batch)
        size = self._labels(label) if self.labelled else self.size(inputs)
        return Batch(tuple(inputs), label, weight, size)

    def _labels(self, label: Any) -> int:
        axis = self.layout.label_axis
        if label.ndim <= axis:
            raise ValueError(f"the label has shape {label.shape}, and its examples should lie along axis {axis}; write "
                             "another label_axis in the layout, or an array with that axis")
        return label.shape[axis]

    def of(self, x: Tree, label: Any, weight: Any = None) -> Batch:
        """The batch of what a loop has at hand: inputs (a tuple, where the network takes several), label, weight."""
        several = isinstance(x, (list, tuple)) and (len(self.signature.required) > 1 or not self.signature.takes(1)
                                                    or (not self.signature.known and len(x) > 1))
        inputs = tuple(x) if several else (x,)
        self._check_takes(len(inputs))
        return Batch(inputs, label, weight, label.shape[self.layout.label_axis])

    def size(self, inputs: Any) -> int:
        """How many examples the inputs have."""
        for i, tree in enumerate(inputs):
            for leaf in leaves(tree):
                axis = self.layout.axis(i)
                if leaf.ndim <= axis:
                    raise ValueError(f"input {self._name(i)!r} has shape {leaf.shape}, and its examples should lie "
                                     f"along axis {axis}; write another batch_axis in the layout, or an array with "
                                     "that axis")
                return leaf.shape[axis]
        raise ValueError("a batch has no array among its inputs; write arrays whose first axis counts examples")

    def part(self, every: Batch, start: int, stop: int) -> Batch:
        """The examples from ``start`` to ``stop`` of a batch."""
        layout = self.layout
        return Batch(tuple(rows(tree, layout.axis(i), start, stop) for i, tree in enumerate(every.inputs)),
                     rows(every.label, layout.label_axis, start, stop), rows(every.weight, 0, start, stop),
                     stop - start)

    def is_whole(self, data: Any) -> bool:
        """Whether ``data``, a list or tuple, is arrays of all examples side by side and no list of batches."""
        if not data or not any(map(is_array, data)):
            return False
        if self.labelled or self._chosen is not None:
            return True
        if self._seen is not None or self.signature.known:
            return (self._seen or len(self.signature.required)) > 1
        if len(self.signature.required) < 2 and len(data) > 1:
            raise ValueError(f"data is a {type(data).__name__} of {len(data)} arrays, and the network is called as "
                             f"net{self.signature}: they may be its inputs, or batches; write layout="
                             f"sgmcmc_mx.BatchLayout(inputs={tuple(range(len(data)))}) for inputs, or a list of tuples "
                             "[(x,), (x,)] for batches")
        return len(self.signature.required) > 1

    # ---------------------------------------------------------------- forms of a batch

    def _of_list(self, entries: List[Any]) -> Tuple[List[Tree], Any, Any]:
        if self._chosen is not None:
            return self._told(dict(enumerate(entries)), self._chosen)
        if self._holds_inputs(entries):
            number = len(entries[0])
            entries = [*entries[0], *entries[1:]]
            return entries[:number], *self._after(entries, number)
        if entries and isinstance(entries[0], Mapping):
            inputs = self._of_mapping(entries[0], False)[0]
            return inputs, *self._after(entries, 1)
        number = self._number(len(entries))
        return entries[:number], *self._after(entries, number)

    def _holds_inputs(self, entries: List[Any]) -> bool:
        """Whether the first entry is all inputs of a network with several, ((x, length), label), and not just one."""
        usual = self._seen or len(self.signature.required)
        if usual < 2 or not entries or not isinstance(entries[0], (list, tuple)):
            return False
        if self.labelled and len(entries) - 1 == usual:
            return False
        held = len(entries[0])
        return held == self._seen if self._seen is not None else self.signature.takes(held)

    def _after(self, entries: List[Any], number: int) -> Tuple[Any, Any]:
        """Label and weight of a batch whose first entries are the inputs."""
        left = len(entries) - number
        label = entries[number] if left and self.layout.label is None else None
        if self.layout.label is not None or self.layout.weight is not None:
            _, label, weight = self._told(dict(enumerate(entries)), ())
            return label, weight
        if self.labelled and left != 1:
            beyond = (f"{left - 1} more follow the label" if left else "none is left for the label")
            raise TypeError(f"data gave a batch of type tuple with {len(entries)} entries, not inputs and labels: the "
                            f"network is called as net{self.signature}, and {beyond}; write a pair (x, y) of arrays, "
                            "or batches of them, or say which entry is which: "
                            "layout=sgmcmc_mx.BatchLayout(inputs=0, label=1, weight=2)")
        return label, None

    def _number(self, entries: int) -> int:
        """How many of the first entries are inputs."""
        s = self.signature
        if self._seen is not None:
            number = self._seen
        elif s.known:
            number = len(s.required)
        elif self.labelled:
            number = entries - 1
        elif entries == 1 or entries == len(s.required):
            number = entries
        else:
            raise ValueError(f"data gave a batch of {entries} entries, and the network is called as net{s}: nothing "
                             f"says whether entry {max(len(s.required), 1)} is an input or a label; write "
                             f"layout=sgmcmc_mx.BatchLayout(inputs={tuple(range(entries))}) for inputs, "
                             "BatchLayout(inputs=0) where the first is the only one")
        if entries < number:
            raise ValueError(f"data gave a batch of {entries} array{'s' * (entries != 1)}, and the network needs "
                             f"{number}, net{s}; write batches with all of them, or a tuple of arrays")
        return number

    def _of_mapping(self, batch: Mapping, beside: bool = True) -> Tuple[List[Tree], Any, Any]:
        if self._chosen is not None:
            return self._told(batch, self._chosen)
        s = self.signature
        missing = [n for n in s.required if n not in batch]
        if missing:
            raise ValueError(f"data gave a dictionary of {', '.join(map(repr, batch))}, and the network, net{s}, needs "
                             f"{', '.join(map(repr, missing))}; name the entries so, or write "
                             f"layout=sgmcmc_mx.BatchLayout(inputs={{{missing[0]!r}: {next(iter(batch), 'x')!r}}})"
                             + f"; where its forward takes the dictionary itself, write {{{missing[0]!r}: ...}} around "
                             "it" * (len(s.names) == 1))
        names = list(s.required)
        for name in s.optional:
            if name in batch:
                skipped = s.optional[:s.optional.index(name)]
                names += [n for n in skipped if n not in names] + [name]
        self._check_all_known(batch, names)
        inputs = [batch.get(name) for name in names]
        if not beside:
            return inputs, None, None
        label = self._beside(batch, self.layout.label or "label", self.layout.label is not None)
        weight = self._beside(batch, self.layout.weight or "weight", self.layout.weight is not None)
        if self.labelled and label is None:
            raise ValueError(f"data gave a dictionary of {', '.join(map(repr, batch))}, without 'label'; write "
                             "layout=sgmcmc_mx.BatchLayout(label='y') with the label's name")
        return inputs, label, weight

    def _of_data_batch(self, batch: Any) -> Tuple[List[Tree], Any, Any]:
        axes = [self.layout.axis(i) if len(self.layout.batch_axes) in (1, len(batch.data)) else 0
                for i in range(len(batch.data))] + [self.layout.label_axis] * len(batch.label or ())
        every = [rows(a, axis, 0, a.shape[axis] - (batch.pad or 0))
                 for a, axis in zip([*batch.data, *(batch.label or ())], axes)]
        number = len(batch.data)
        names = [d[0] for d in [*(batch.provide_data or ()), *(batch.provide_label or ())]]
        by_name, by_place = dict(zip(names, every)), dict(enumerate(every))
        if self._chosen is not None:
            return self._told(by_name if isinstance(self._chosen[0], str) else by_place, self._chosen)
        if number > 1 and not all(re.fullmatch(r"_\d+_data", name) for name in names[:number]):
            if not set(self.signature.required) <= set(names):
                raise ValueError(f"data gave a DataBatch of {', '.join(map(repr, names[:number]))} (MXNet sorts them), "
                                 f"and the network is called as net{self.signature}; give them its names, or write "
                                 f"layout=sgmcmc_mx.BatchLayout(inputs={tuple(names[:number])}) in its order")
            inputs = self._of_mapping(dict(zip(names, every[:number])), False)[0]
            every, number = inputs + every[number:], len(inputs)
        if not self.signature.takes(number):
            raise ValueError(f"data gave a DataBatch of {number} inputs, and the network is called as "
                             f"net{self.signature}; write layout=sgmcmc_mx.BatchLayout(inputs=0) to take the first")
        if self.labelled and len(every) == number:
            raise ValueError("data gave a DataBatch without a label; write mx.io.NDArrayIter(x, y, batch_size)")
        if self.layout.label is not None or self.layout.weight is not None:
            return every[:number], *self._told(by_name if isinstance(self.layout.label, str) else by_place, ())[1:]
        return every[:number], every[number] if len(every) > number else None, None

    # ---------------------------------------------------------------- what the user says

    def _in_order(self) -> Optional[Tuple[Optional[Entry], ...]]:
        """The entries of the inputs in the network's order, if the layout names them."""
        named = self.layout.named
        if named is None:
            return self.layout.inputs
        names = self.signature.names
        unknown = next((n for n in named if n not in names), None)
        if unknown is not None:
            raise ValueError(f"the layout names an input {unknown!r}, and the network is called as "
                             f"net{self.signature}; write one of {', '.join(map(repr, names))}")
        missing = [n for n in self.signature.required if n not in named]
        if missing:
            raise ValueError(f"the layout does not name {', '.join(map(repr, missing))}, which the network, "
                             f"net{self.signature}, needs; write its entry too")
        last = max(names.index(n) for n in named)
        return tuple(named.get(n) for n in names[:last + 1])

    def _told(self, batch: Mapping, chosen: Tuple[Optional[Entry], ...]) -> Tuple[List[Tree], Any, Any]:
        inputs = [None if e is None else self._entry(batch, e) for e in chosen]
        told = self.layout
        label, weight = (None if e is None else self._beside(batch, e) for e in (told.label, told.weight))
        if self.labelled and label is None:
            after = max((e for e in chosen if isinstance(e, int)), default=0) + 1
            label = batch.get(after if chosen and isinstance(chosen[0], int) and told.weight != after else "label")
            if label is None:
                raise ValueError(f"{told!r} does not say which entry is the label; write label={after}, or its name")
        return inputs, label, weight

    def _beside(self, batch: Mapping, entry: Entry, told: bool = True) -> Any:
        """Label or weight; where no label is needed neither need be there, so that one layout will do for both."""
        return self._entry(batch, entry) if told and self.labelled else batch.get(entry)

    def _entry(self, batch: Mapping, entry: Entry) -> Any:
        try:
            return batch[entry]
        except KeyError:
            has = ", ".join(map(repr, batch)) or "none"
            raise ValueError(f"{self.layout!r} names entry {entry!r}, and data gave a batch with the entries {has}; "
                             "write one of these") from None

    # ---------------------------------------------------------------- checks

    def _check_takes(self, number: int) -> None:
        if not self.signature.takes(number, self._chosen is not None):
            raise ValueError(f"{number} input{'s are' if number != 1 else ' is'} given, and the network is called as "
                             f"net{self.signature}; write as many as it takes")

    def _check_all_known(self, batch: Mapping, names: List[str]) -> None:
        """Raise where an entry of an unknown name may be an input that the network could do without."""
        s, told = self.signature, (self.layout.label, self.layout.weight, "label", "weight")
        strange = next((n for n in batch if n not in s.names and n not in told), None)
        left = next((n for n in s.optional if n not in names), None)
        if strange is None or left is None or len(names) == self._seen:
            return
        without = {n: n for n in names}
        raise ValueError(f"data gave a dictionary with {strange!r}, and the network is called as net{s}: nothing says "
                         f"whether this is {left!r}; name it so, or write layout=sgmcmc_mx.BatchLayout(inputs="
                         f"{dict(without, **{left: strange})!r}) to use it, BatchLayout(inputs={without!r}) to leave "
                         "it out")

    def _check_array(self, a: Any, what: str, batch: Any) -> None:
        if not is_array(a):
            raise TypeError(f"data gave a batch of type {type(batch).__name__}, whose {what} is of type "
                            f"{type(a).__name__}; write a "
                            + ("pair (x, y) of arrays, or a DataLoader" if self.labelled else
                               "DataLoader or an array (np.asarray of a list of rows)"))
        if not a.ndim:
            shapes = " and ".join(str(getattr(b, "shape", "?")) for b in (batch if isinstance(batch, tuple) else [a]))
            raise ValueError(f"data has arrays of shapes {shapes}, so the {what} is a single number; write an "
                             "array, or arrays whose first axes must count the same examples")

    def _name(self, i: int) -> str:
        names = self.signature.names
        return names[i] if i < len(names) else str(i)
