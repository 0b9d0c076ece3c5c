"""Updaters that a script drives itself, with names as keys."""
import mxnet as mx
import numpy as np
import pytest
from mxnet import nd

SAMPLERS = {"sgld": {}, "sghmc": {}, "sgnht": {}, "psgld": {}, "sgnht element": {"thermostat": "element"}}


def updater(name, seed=3):
    name, options = name.split()[0], SAMPLERS[name]
    return mx.optimizer.get_updater(mx.optimizer.create(name, learning_rate=0.01, num_data=10, rescale_grad=0.2,
                                                        seed=seed, **options))


def go(update, weights, steps=3):
    for _ in range(steps):
        for key, w in weights.items():
            update(key, w * 0.1, w)
    return [w.asnumpy() for w in weights.values()]


def ones(*keys):
    return {key: nd.ones((3,)) for key in keys}


@pytest.mark.parametrize("name", SAMPLERS)
def test_names_are_numbered_as_they_come(name):
    """The same bits as with numbers, whatever the names are."""
    numbered, named = go(updater(name), ones(0, 1)), go(updater(name), ones("z_weight", "a_weight"))
    np.testing.assert_array_equal(numbered, named)
    assert not np.array_equal(named[0], named[1])


# One thermostat for all sums over the tensors in their order.
@pytest.mark.parametrize("name, turned", [(name, turned) for name in SAMPLERS for turned in (False, True)
                                          if not (turned and name == "sgnht")])
def test_states_with_names_continue_bit_for_bit(name, turned):
    first, weights = updater(name), ones("z_weight", "a_weight")
    go(first, weights)
    kept = first.get_states(dump_optimizer=True)
    again = {key: weights[key].copy() for key in (reversed(list(weights)) if turned else weights)}
    whole = dict(zip(weights, go(first, weights)))
    second = updater(name, seed=8)
    second.set_states(kept)
    for key, found in zip(again, go(second, again)):
        np.testing.assert_array_equal(found, whole[key])


def test_names_and_numbers_together():
    update, weights = updater("sgld"), ones(0, 1, "a", "b")
    found = go(update, weights, 1)
    assert len({tuple(w) for w in found}) == 4


def test_an_error_is_raised_once():
    update = updater("sghmc")
    update.optimizer.lr_mult = {"a": -1.0}
    with pytest.raises(ValueError, match="lr_mult of parameter a"):
        go(update, ones("a"))
    update.optimizer.rescale_grad = 0.5
