"""SGMCMCJax: its kernels, which draw their own minibatches, in one compiled scan that keeps no samples."""
from __future__ import annotations

import importlib.metadata

import common
import jax
import jax_network as network
from jax import numpy as jnp
from sgmcmcjax import kernels

LEAPFROG = 10   # gradients of a call of its SGHMC, a new minibatch each


class Peer:
    def __init__(self, sampler, form, work, x, y):
        data = jnp.asarray(x), jnp.asarray(y)
        size = common.LEARNING_RATE / len(x)
        common_arguments = network.log_likelihood, network.log_prior, data, work.batch
        self.gradients = 1
        if sampler == "sgld":
            made = kernels.build_sgld_kernel(size, *common_arguments)
        elif sampler == "sghmc":
            self.gradients = LEAPFROG
            made = kernels.build_sghmc_kernel(size, LEAPFROG, *common_arguments, alpha=common.FRICTION)
        else:
            made = kernels.build_sgnht_kernel(size, *common_arguments, a=common.FRICTION)
        start, kernel, _ = made
        self.key, first = jax.random.split(jax.random.PRNGKey(0))
        self.state, self.done = start(first, network.first_weights(work)), 0
        self.steps_a_call = 10 * LEAPFROG

        def one(carry, number):
            key, state = carry
            key, own = jax.random.split(key)
            return (key, kernel(number, own, state)), None

        self._many = jax.jit(lambda carry, numbers: jax.lax.scan(one, carry, numbers)[0], donate_argnums=(0,))

    def advance(self, steps):
        calls = steps // self.gradients
        self.key, self.state = self._many((self.key, self.state), jnp.arange(self.done, self.done + calls))
        self.done += calls

    def wait(self):
        jax.block_until_ready(jax.tree_util.tree_leaves(self.state))


if __name__ == "__main__":
    common.main(Peer, {name: importlib.metadata.version(name) for name in ("sgmcmcjax", "jax")})
