"""PyTorch: SGD with momentum (fused), and the samplers of posteriors."""
from __future__ import annotations

import importlib.metadata
import math
import os
import warnings

import common

os.environ.setdefault("OMP_NUM_THREADS", str(common.THREADS))
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

torch.set_num_threads(common.THREADS)


def network(work):
    """The network with the common first weights."""
    parts, drawn = [], common.layers(work)
    for i, (weights, biases) in enumerate(drawn):
        linear = torch.nn.Linear(*weights.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weights.T.copy()))
            linear.bias.copy_(torch.from_numpy(biases))
        parts += [linear, torch.nn.ReLU()] if i + 1 < len(drawn) else [linear]
    return torch.nn.Sequential(*parts)


class Peer:
    steps_a_call = 50

    def __init__(self, sampler, form, work, x, y):
        torch.manual_seed(0)
        self.net = network(work)
        self.x, self.y, self.batch, self.at = torch.from_numpy(x), torch.from_numpy(y).long(), work.batch, len(x)
        self.step = self._sgd() if sampler == "sgd" else self._posteriors(sampler, form)

    def _sgd(self):
        optimizer = torch.optim.SGD(self.net.parameters(), lr=common.LEARNING_RATE, momentum=1.0 - common.FRICTION,
                                    fused=True)

        def step(x, y):
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(self.net(x), y).backward()
            optimizer.step()
        return step

    def _posteriors(self, sampler, form):
        """Its log posterior is an example's, so that the temperature is 1 / N; its step is the root of ours where
        there is a momentum, and its alpha a friction per unit of time."""
        import posteriors

        count, net = len(self.x), self.net
        params = {name: p.detach().clone() for name, p in net.named_parameters()}

        def log_posterior(params, batch):
            x, y = batch
            fit = functional.cross_entropy(torch.func.functional_call(net, params, x), y)
            prior = posteriors.diag_normal_log_prob(params, sd_diag=1.0, normalize=False)
            return prior / count - fit, torch.tensor([])

        method = getattr(posteriors.sgmcmc, sampler)
        if sampler == "sgld":
            transform = method.build(log_posterior, lr=common.LEARNING_RATE, temperature=1.0 / count)
        else:
            step = math.sqrt(common.LEARNING_RATE)
            momenta = {name: torch.randn_like(p) / math.sqrt(count) for name, p in params.items()}
            transform = method.build(log_posterior, lr=step, alpha=common.FRICTION / step, temperature=1.0 / count,
                                     momenta=momenta)
        self.state, update, options = transform.init(params), transform.update, {"inplace": True}
        if form == "compiled":
            from torch._inductor import config

            config.fallback_random = True     # PyTorch's own generator: faster than the generated one
            update, options = torch.compile(update), {}

        def run(x, y):
            self.state, _ = update(self.state, (x, y), **options)
        return run

    def advance(self, steps):
        for _ in range(steps):
            if self.at + self.batch > len(self.x):
                self.order, self.at = torch.randperm(len(self.x)), 0
            rows = self.order[self.at:self.at + self.batch]
            self.at += self.batch
            self.step(self.x[rows], self.y[rows])

    def wait(self):
        pass


if __name__ == "__main__":
    common.main(Peer, {name: importlib.metadata.version(name) for name in ("torch", "posteriors")})
