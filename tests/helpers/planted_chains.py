"""Chains whose faults are known: exact, independent samples of small models, and what is done to some of them."""
import numpy as np
from mxnet import gluon, nd

import sgmcmc_mx as sg

CLASSES, INPUTS = 10, 20


def network(outputs, inputs, seed=0):
    """A linear map without bias; its own weights are of no account."""
    net = gluon.nn.Dense(outputs, in_units=inputs, use_bias=False)
    net.initialize()
    return net


class Classifier:
    """Softmax of a linear map, whose weights are independent normals around a known mean: the target of its chains.

    The labels of the held-out examples are drawn from the model at the mean.
    """

    likelihood = "softmax"

    def __init__(self, seed, examples=100, inputs=INPUTS, classes=CLASSES, std=0.3):
        self.random = np.random.RandomState(seed)
        self.x = self.random.standard_normal((examples, inputs)).astype(np.float32)
        self.mean = self.random.standard_normal((classes, inputs)) * 0.5
        self.std = std
        logits = self.x @ self.mean.T + self.random.gumbel(size=(examples, classes))
        self.y = logits.argmax(axis=1)
        self.net = network(classes, inputs)

    def draws(self, number, mean=None):
        """Independent weights, (number, classes, inputs)."""
        mean = self.mean if mean is None else mean
        return mean + self.std * self.random.standard_normal((number,) + self.mean.shape)

    def slow(self, number, correlation):
        """Weights of the same law that follow each other."""
        found = self.draws(number)
        for k in range(1, number):
            fresh = found[k] - self.mean
            found[k] = self.mean + correlation * (found[k - 1] - self.mean) + (1 - correlation**2)**0.5 * fresh
        return found

    def chain(self, weights, temperature=1.0):
        """The samples, each with its potential and a kinetic temperature from its exact law, T chi^2_d / d."""
        size = weights[0].size
        readings = temperature * self.random.chisquare(size, len(weights)) / size
        energy = 0.5 * (((weights - self.mean) / self.std)**2).sum(axis=(1, 2))
        return [sg.Sample({"weight": nd.array(w)}, step=k, potential=float(u), temperature=float(t))
                for k, (w, u, t) in enumerate(zip(weights, energy, readings))]

    def good(self, chains=4, draws=200, temperature=1.0):
        return [self.chain(self.draws(draws), temperature) for _ in range(chains)]

    def planted(self, fault, chains=4, draws=200):
        """Chains of which one thing is wrong."""
        weights = [self.draws(draws) for _ in range(chains)]
        if fault == "stuck":
            weights[1][:] = weights[1][0]
        elif fault == "burn-in":    # every chain comes from far away, and is there after a tenth
            for w in weights:
                far = self.random.standard_normal(self.mean.shape)
                w += 2 * far * np.exp(-np.arange(draws) / (0.03 * draws))[:, None, None]
        elif fault == "mode":
            weights[2] = self.draws(draws, self.mean + 0.5 * self.random.standard_normal(self.mean.shape))
        elif fault == "slow":
            weights = [self.slow(draws, 0.9) for _ in range(chains)]
        factors = np.full((chains, draws), {"cold": 0.95, "hot": 1.05}.get(fault, 1.0))
        if fault == "bursts":       # one in twenty samples of a chain is hot, and the next too cold by as much
            factors[1, ::20], factors[1, 1::20] = 1.6, 0.4
        return [self.chain(w, t) for w, t in zip(weights, factors)]


class Line:
    """Linear regression with noise of known variance and a normal prior: its posterior is a normal in closed form."""

    def __init__(self, seed, examples=40, inputs=3, sigma=0.5, precision=1.0):
        self.random = np.random.RandomState(seed)
        w = self.random.standard_normal(inputs)
        x, self.x = (self.random.standard_normal((examples, inputs)).astype(np.float32) for _ in range(2))
        y, self.y = (a @ w + sigma * self.random.standard_normal(examples) for a in (x, self.x))
        inverse = x.T @ x / sigma**2 + precision * np.eye(inputs)
        self.covariance = np.linalg.inv(inverse)
        self.mean = self.covariance @ (x.T @ y) / sigma**2
        self.likelihood = sg.likelihoods.Gaussian(sigma)
        self.sigma = sigma
        self.net = network(1, inputs)

    def draws(self, number):
        return self.random.multivariate_normal(self.mean, self.covariance, number)

    def chain(self, weights):
        return [sg.Sample({"weight": nd.array(w[None])}, step=k) for k, w in enumerate(weights)]

    def good(self, chains=4, draws=100):
        return [self.chain(self.draws(draws)) for _ in range(chains)]
