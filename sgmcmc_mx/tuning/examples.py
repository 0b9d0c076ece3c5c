"""The user's training data as a measurement reads them: batches, how many examples there are, how they come."""
from __future__ import annotations

from typing import Any, Optional

import mxnet as mx
import numpy as np
from mxnet import gluon

from ..batches.labelled import Labelled, LabelledData
from ..batches.layout import BatchLayout
from ..data import ResumableLoader
from ..gradients import Gradients

__all__ = ["batched", "epoch_of", "number_of_examples"]


def batched(data: LabelledData, batch_size: int, gradients: Gradients, layout: Optional[BatchLayout],
            order: Optional[np.random.RandomState]) -> Labelled:
    """Batches of a size, where the data are arrays, or those that the data bring."""
    first = gradients.trained[0].data(gradients.contexts[0])
    return Labelled(gradients.net, data, batch_size, gradients.contexts[0], isinstance(first, mx.np.ndarray),
                    first.dtype, order, layout)


def number_of_examples(data: Any, seen: Labelled) -> int:
    """Examples in the data set."""
    if seen.every is not None:
        return _some(seen.every.size)
    if isinstance(data, gluon.data.DataLoader):
        return _some(len(data._dataset))
    if isinstance(data, (list, tuple)):
        return _some(sum(batch.size for batch in seen))
    raise ValueError(f"how many examples a {type(data).__name__} has in all is not known; write optimizer_params="
                     "{'num_data': N}")


def epoch_of(data: Any) -> Optional[int]:
    """Steps of an epoch, where each brings every example once in an order of its own; None where that is not known."""
    sampler = getattr(data, "_batch_sampler", None)
    shuffles = isinstance(getattr(sampler, "_sampler", None), gluon.data.RandomSampler)
    if shuffles or isinstance(data, ResumableLoader) and data.place.shuffle and not data.place.replacement:
        return len(data)
    return None


def _some(count: int) -> int:
    if not count:
        raise ValueError("data is empty: suggest needs at least one example; write the training data")
    return count
