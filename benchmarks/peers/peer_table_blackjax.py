"""blackjax on a small network for a table: a scan over minibatches, and for several chains a vmap of it."""
from __future__ import annotations

import math

import blackjax
import common
import jax
import jax_network as network
from jax import numpy as jnp

LEAPFROG, STEPS = 10, 500       # gradients of a call of its SGHMC, all on one minibatch; steps of a scan


class Peer:
    def __init__(self, sampler, form, work, x, y):
        x, y, count = jnp.asarray(x), jnp.asarray(y), len(x)
        eta = common.TABLE_LEARNING_RATE / count
        size = eta if sampler == "sgld" else math.sqrt(eta)

        def log_density(params, batch):     # of a whole minibatch at once, which is faster than an example at a time
            residual = batch[1] - network.outputs(params, batch[0])
            return network.log_prior(params) - 0.5 * count / work.batch * jnp.sum(residual ** 2)
        gradient = jax.grad(log_density)
        starts = [[tuple(jnp.asarray(a) for a in layer) for layer in common.layers(work, seed)]
                  for seed in range(work.chains)]
        if sampler == "sgld":
            method = blackjax.sgld(gradient)
            states = [method.init(start) for start in starts]
        elif sampler == "sghmc":
            # The last gradient of a call moves nothing that is kept, and is not even computed: calls have several.
            method = blackjax.sghmc(gradient, num_integration_steps=LEAPFROG, alpha=common.FRICTION / size)
            states = [method.init(start) for start in starts]
        else:
            method = blackjax.sgnht(gradient, alpha=common.FRICTION / size)
            states = [method.init(start, jax.random.PRNGKey(k)) for k, start in enumerate(starts)]
            states = [state._replace(xi=jnp.float32(state.xi)) for state in states]
        self.chains, self.steps_a_call = work.chains, STEPS * work.chains
        calls = STEPS // LEAPFROG if sampler == "sghmc" else STEPS

        def one(carry, _):
            key, state = carry
            key, own, rows = jax.random.split(key, 3)
            chosen = jax.random.randint(rows, (work.batch,), 0, count)
            return (key, method.step(own, state, (x[chosen], y[chosen]), size)), None

        def chain(key, state):
            return jax.lax.scan(one, (key, state), None, length=calls)[0]
        self.keys = jax.random.split(jax.random.PRNGKey(0), work.chains)
        self.states = jax.tree_util.tree_map(lambda *each: jnp.stack(each), *states)
        if work.chains == 1:
            self.keys, self.states = self.keys[0], states[0]
        self._run = jax.jit(chain if work.chains == 1 else jax.vmap(chain))

    def advance(self, steps):
        for _ in range(steps // self.steps_a_call):
            self.keys, self.states = self._run(self.keys, self.states)

    def wait(self):
        jax.block_until_ready(self.states)


if __name__ == "__main__":
    common.main(Peer, {"blackjax": blackjax.__version__, "jax": jax.__version__})
