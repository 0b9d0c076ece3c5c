"""blackjax: T = 1 on the full posterior. Its step size is l / N for SGLD and its root with a momentum."""
from __future__ import annotations

import math

import blackjax
import common
import jax
import jax_network as network
from jax import numpy as jnp

LEAPFROG = 10   # gradients of a call of its SGHMC, all on one minibatch


class Peer:
    def __init__(self, sampler, form, work, x, y):
        self.x, self.y, count = jnp.asarray(x), jnp.asarray(y), len(x)
        self.epochs, self.key = network.Epochs(count, work.batch), jax.random.PRNGKey(0)
        gradient = blackjax.sgmcmc.gradients.grad_estimator(
            network.log_prior, lambda params, example: network.log_likelihood(params, *example), count)
        start = network.first_weights(work)
        self.gradients, size = 1, math.sqrt(common.LEARNING_RATE / count)
        if sampler == "sgld":
            method, size = blackjax.sgld(gradient), common.LEARNING_RATE / count
            self.state = method.init(start)
        elif sampler == "sghmc":
            self.gradients = LEAPFROG
            method = blackjax.sghmc(gradient, num_integration_steps=LEAPFROG, alpha=common.FRICTION / size)
            self.state = method.init(start)
        else:
            method = blackjax.sgnht(gradient, alpha=common.FRICTION / size)
            state = method.init(start, jax.random.PRNGKey(1))
            self.state = state._replace(xi=jnp.float32(state.xi))
        self.steps_a_call = 10 * LEAPFROG

        def one(carry, rows, x, y):
            key, state = carry
            key, own = jax.random.split(key)
            return key, method.step(own, state, (x[rows], y[rows]), size)

        if form == "loop":
            self._one = jax.jit(one, donate_argnums=(0,))
            self._many = None
        else:
            self._many = jax.jit(lambda carry, rows, x, y: jax.lax.scan(
                lambda c, r: (one(c, r, x, y), None), carry, rows)[0], donate_argnums=(0,))

    def advance(self, steps):
        rows = self.epochs.take(steps // self.gradients)
        carry = self.key, self.state
        if self._many is not None:
            carry = self._many(carry, rows, self.x, self.y)
        else:
            for i in range(len(rows)):
                carry = self._one(carry, rows[i], self.x, self.y)
        self.key, self.state = carry

    def wait(self):
        jax.block_until_ready(self.state)


if __name__ == "__main__":
    common.main(Peer, {"blackjax": blackjax.__version__, "jax": jax.__version__})
