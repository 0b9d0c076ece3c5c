"""Which of a sample's arrays belongs to which parameter of a Block: the network, a part of it, or a Block around it."""
from __future__ import annotations

import os
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from mxnet import gluon

__all__ = ["Pairs", "compatible", "paired"]

_SOME = 4       # names in a message


class Pairs(NamedTuple):
    """Structural name in the Block -> name in the sample; and what either of them has beside that."""

    names: Dict[str, str]
    own: List[str]          # of the Block
    unused: List[str]       # of the sample


def paired(block: gluon.Block, shapes: Mapping[str, Sequence[int]], of: Optional[gluon.Block] = None) -> Pairs:
    """Pair a Block's parameters with a sample's arrays, of which the shapes are given.

    Raises
    ------
    ValueError
        Where nothing fits, or more than one thing does; it names what is missing, or what there is to choose from.
    """
    named = block._collect_params_with_prefix()
    found = {} if of is None else _shared(named, of, shapes)
    if not found:
        found = _by_names(named, shapes)
    used = set(found.values())
    return Pairs(found, [b for b in named if b not in found], [s for s in shapes if s not in used])


def compatible(shape: Optional[Sequence[int]], other: Sequence[int]) -> bool:
    """Whether a parameter's shape, of which something may be unknown yet, can be this one."""
    return shape is None or (len(shape) == len(other) and all(n in (0, -1, m) for n, m in zip(shape, other)))


# ---------------------------------------------------------------- by the parameters themselves

def _shared(named: Dict[str, Any], of: gluon.Block, shapes: Mapping[str, Sequence[int]]) -> Dict[str, str]:
    """By the Parameter objects that the Block has in common with the network that the samples are of."""
    names = {id(p): name for name, p in of._collect_params_with_prefix().items() if name in shapes}
    found = {b: names[id(p)] for b, p in named.items() if id(p) in names}
    in_part = found and set(found.values()) != set(shapes)
    for _, pairs in _complete(list(named), list(shapes)) if in_part else ():
        more = [b for b in pairs if b not in found]
        fits = all(compatible(named[b].shape, shapes[s]) and found.get(b, s) == s for b, s in pairs.items())
        if more and fits:
            raise ValueError(f"the network shares {_some(list(found))} with the one that the samples are of, and has "
                             f"{_some(more)} of its own, which by their names are in the samples too; share all of "
                             "them (params=net.collect_params()), or none")
    _check_shapes(found, named, shapes)
    return found


# ---------------------------------------------------------------- by their names

def _by_names(named: Dict[str, Any], shapes: Mapping[str, Sequence[int]]) -> Dict[str, str]:
    unfit: Optional[Dict[str, str]] = None
    found: Dict[FrozenSet[Tuple[int, str]], Tuple[str, Dict[str, str]]] = {}
    for how, pairs in _complete(list(named), list(shapes)):
        if all(compatible(named[b].shape, shapes[s]) for b, s in pairs.items()):
            found.setdefault(frozenset((id(named[b]), s) for b, s in pairs.items()), (how, pairs))
        elif unfit is None:
            unfit = pairs
    if len(found) > 1:
        hows = [how for how, _ in found.values()]
        raise ValueError(f"the samples fit the network in {len(hows)} ways, {' or '.join(hows[:_SOME])}; write "
                         "of=net with the network that the samples are of, and share its parameters, or give a Block "
                         "that has them under one name only")
    if not found:
        if unfit is not None:
            _check_shapes(unfit, named, shapes)
        raise _nothing_fits(named, shapes)
    (_, pairs), = found.values()
    return pairs


def _complete(block: List[str], sample: List[str]) -> Iterator[Tuple[str, Dict[str, str]]]:
    """Ways to pair names so that all of the Block's, or all of the sample's, have one; and a word for each.

    Names differ by what they begin with: a part lacks it, and a Block around the network has more of it.
    """
    if set(block) == set(sample):
        yield "* as *", {b: b for b in block}      # no other beginning can have all
        return
    if not block or not sample:
        return
    here, there = set(block), set(sample)
    for of_block, of_sample in _beginnings(block, sample):
        b, s = block[0], sample[0]
        if not ((b.startswith(of_block) and of_sample + b[len(of_block):] in there)
                or (s.startswith(of_sample) and of_block + s[len(of_sample):] in here)):
            continue        # neither can have all
        pairs = {}
        for b in block:
            s = of_sample + b[len(of_block):]
            if b.startswith(of_block) and s in there:
                pairs[b] = s
        if pairs and (len(pairs) == len(block) or len(pairs) == len(sample)):
            yield f"{of_block or ''}* as {of_sample or ''}*", pairs


def _beginnings(block: List[str], sample: List[str]) -> Iterator[Tuple[str, str]]:
    """What names may begin with, the Block's and the sample's. To have all, it must be what all of them begin with."""
    mine, its = _prefixes(block), _prefixes(sample)
    all_mine, all_its = _prefixes([_common(block)]), _prefixes([_common(sample)])
    yield from dict.fromkeys([*((a, b) for b in all_its for a in mine), *((a, b) for a in all_mine for b in its)])


def _prefixes(names: Iterable[str]) -> List[str]:
    """'' and all beginnings that end in a dot."""
    ends = ((name, [0, *(i + 1 for i, c in enumerate(name) if c == ".")]) for name in names)
    return list(dict.fromkeys(name[:k] for name, places in ends for k in places))


def _common(names: List[str]) -> str:
    common = os.path.commonprefix(names)
    return common[:common.rfind(".") + 1]


# ---------------------------------------------------------------- what is told

def _check_shapes(pairs: Mapping[str, str], named: Dict[str, Any], shapes: Mapping[str, Sequence[int]]) -> None:
    for b, s in pairs.items():
        if not compatible(named[b].shape, shapes[s]):
            raise ValueError(f"{s} has shape {tuple(shapes[s])} in the samples, and {named[b].shape} in the network: "
                             "they were drawn from another network; build the same one")


def _nothing_fits(named: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> ValueError:
    if set(shapes) == {"output"}:
        return ValueError("the samples are a network's outputs (FolderStore(inputs=...)), and have no weights; keep "
                          "weights (FolderStore without inputs)")
    lacking, more = [n for n in named if n not in shapes], [n for n in shapes if n not in named]
    which = "; ".join(f"{_some(names)} in the {where} only"
                      for names, where in ((lacking, "network"), (more, "samples")) if names)
    return ValueError(f"samples and network differ in their parameters ({which}): the samples were drawn from another "
                      "network; give that network, a part of it, or a Block that contains it")


def _some(names: List[str]) -> str:
    left = len(names) - _SOME
    return ", ".join(names[:_SOME]) + (f" and {left} more" if left > 0 else "")
