"""What the two JAX libraries share."""
from __future__ import annotations

import os

import common

if common.THREADS == 1:
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + (
        " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import jax  # noqa: E402
from jax import numpy as jnp  # noqa: E402


def first_weights(work):
    """The common first weights as a tree."""
    return [tuple(jnp.asarray(a) for a in layer) for layer in common.layers(work)]


def outputs(params, x):
    """Logits of one example or of a batch."""
    for weights, biases in params[:-1]:
        x = jnp.maximum(x @ weights + biases, 0.0)
    return x @ params[-1][0] + params[-1][1]


def log_prior(params):
    """N(0, 1) on every weight."""
    return -0.5 * sum(jnp.vdot(p, p) for p in jax.tree_util.tree_leaves(params))


def log_likelihood(params, x, y):
    """Of one example."""
    return jax.nn.log_softmax(outputs(params, x))[y]


class Epochs:
    """Rows of minibatches, in a new order every epoch, drawn where the data lie."""

    def __init__(self, count, batch):
        self._key, self._rows = jax.random.PRNGKey(7), None
        whole = count // batch
        self._shuffle = jax.jit(lambda key: jax.random.permutation(key, count)[:whole * batch].reshape(whole, batch))

    def take(self, steps):
        """Index array of shape (steps, batch)."""
        taken = []
        while steps:
            if self._rows is None or not len(self._rows):
                self._key, key = jax.random.split(self._key)
                self._rows = self._shuffle(key)
            taken.append(self._rows[:steps])
            self._rows = self._rows[steps:]
            steps -= len(taken[-1])
        return taken[0] if len(taken) == 1 else jnp.concatenate(taken)
