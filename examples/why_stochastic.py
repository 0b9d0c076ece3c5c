"""Why stochastic gradients: the post's way from Metropolis-Hastings to SGNHT, measured.

First on standard normals of 10 to 10,000 dimensions: random-walk Metropolis-Hastings and Hamiltonian Monte Carlo at
many step sizes. You will see a table of the step that gets on best, of the acceptance rate there (the post's 23 % and
65 %) and of what an independent draw costs, in passes over the data. The post says that the step shrinks exponentially
with the dimension. It shrinks like d^-1/2 for the walk and like d^-1/4 for HMC; and HMC, "not as great an improvement
as we might have thought", needs of the order of d^1/4 passes where the walk needs d.

Then all five algorithms on one Bayesian linear regression, whose posterior is known: 4,000 observations, 200 weights,
a random start. A pass over the data counts as 200 minibatches of 20. "A sample every batch" is true of samples that
hang together: without the minibatches' noise heating the chain, an independent one takes SGHMC and SGNHT about a pass,
in any dimension, where HMC takes a few and more in higher dimensions. What they lack is the acceptance test, so that an
error of the step size stays in the standard deviations (column sd); HMC and MH have none. The steps of MH and HMC are
tuned beforehand, which is not counted, nor is the choice of the others'.

The picture is pictures/why_stochastic/why_stochastic.png.
"""
import argparse
import time
from typing import Dict, List, NamedTuple

import _common as common
import mxnet as mx
import numpy as np
from mxnet import gluon, nd

import sgmcmc_mx as sg
from sgmcmc_mx.samplers import hmc, metropolis

TIME = 1.5 * np.pi      # of a trajectory on the standard normal: three quarters of a period, to an independent place
NUM_DATA, WEIGHTS, BATCH, PRIOR = 4000, 200, 20, 200.0
RATIO = NUM_DATA // BATCH


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dimensions", type=int, nargs="+", default=[10, 100, 1000, 10000])
    add("--proposals", type=int, default=400, help="at each dimension and step size")
    add("--steps", type=int, default=30000, help="minibatches for each of SGLD, SGHMC and SGNHT")
    add("--passes", type=int, default=5000, help="over the data, for each of MH and HMC")
    add("--seed", type=int, default=0)
    add("--out", help="folder for the picture (default pictures/why_stochastic)")
    add("--quick", action="store_true", help="a few steps, to see that it runs")
    args = parser.parse_args()
    if args.quick:
        args.dimensions, args.proposals, args.steps, args.passes = [10, 100], 60, 2000, 400
    return args


# ---------------------------------------------------------------- step size and dimension

class Efficiency(NamedTuple):
    """By step size: acceptance rate, and passes for the squared distance of an independent draw."""

    step: np.ndarray
    acceptance: np.ndarray
    passes: np.ndarray

    @property
    def best(self) -> int:
        return int(self.passes.argmin())


def normal(position):
    """U and its gradient of a standard normal."""
    w = position[0]
    return 0.5 * float(nd.dot(w, w).asscalar()), [w]


def walk(w, random, step: float):
    state = metropolis.State([w], normal([w])[0])
    proposal = [nd.array(random.standard_normal(w.shape))]
    outcome = metropolis.transition(state, lambda p: normal(p)[0], step, 1.0, proposal, 0.5)[1]
    return outcome.probability, step ** 2 * float(nd.dot(proposal[0], proposal[0]).asscalar())


def roll(w, random, step: float):
    state = metropolis.State([w], *normal([w]))
    p = [nd.array(random.standard_normal(w.shape))]
    end, q = hmc.leapfrog(state, p, normal, step, round(TIME / step))
    change = end.potential - state.potential + hmc.kinetic_energy(q) - hmc.kinetic_energy(p)
    moved = end.position[0] - w
    return metropolis.decide(change, 1.0, 0.5).probability, float(nd.dot(moved, moved).asscalar())


def efficiency(move, d: int, steps: np.ndarray, cost: np.ndarray, proposals: int, seed: int) -> Efficiency:
    """Proposals from independent places of the standard normal; what is not accepted moves by 0."""
    found = []
    for h in steps:
        random = np.random.RandomState(seed)    # the same places and directions for each step size
        found.append([move(nd.array(random.standard_normal(d)), random, h) for _ in range(proposals)])
    probability, jump = np.moveaxis(found, 2, 0)
    return Efficiency(steps, probability.mean(1), cost * 2 * d / (probability * jump).mean(1))


def dimensions(args) -> Dict[str, Dict[int, Efficiency]]:
    """Both algorithms at every dimension."""
    found = {"MH": {}, "HMC": {}}
    for d in args.dimensions:
        steps = np.geomspace(0.6, 6.0, 15) / d ** 0.5
        found["MH"][d] = efficiency(walk, d, steps, np.ones(len(steps)), args.proposals, args.seed)
        leaps = np.unique(np.round(2.4 * d ** 0.25 * np.geomspace(0.62, 2.2, 9))).astype(int)
        leaps = leaps[leaps > 2]    # two leaps are too long to be stable
        found["HMC"][d] = efficiency(roll, d, TIME / leaps, leaps, args.proposals // 2, args.seed)
    return found


def print_dimensions(found) -> None:
    print("\n                best step   accepted   passes for an independent draw")
    for name, by_dimension in found.items():
        for d, e in by_dimension.items():
            print(f"{name:4} d = {d:6}   {e.step[e.best]:7.4f}   {100 * e.acceptance[e.best]:6.0f} %   "
                  f"{e.passes[e.best]:12.1f}")
    d = np.array(list(found["MH"]), dtype=float)
    for name, rule in (("MH", "-1/2"), ("HMC", "-1/4")):
        best = [e.step[e.best] for e in found[name].values()]
        slope = np.polyfit(np.log(d), np.log(best), 1)[0] if len(d) > 1 else np.nan
        print(f"{name}: the best step goes like d^{slope:.2f} (theory: d^{rule})")


# ---------------------------------------------------------------- five algorithms, one posterior

class Problem:
    """y = X w + noise of sd 1, prior w ~ N(0, 1 / PRIOR): the posterior is normal."""

    def __init__(self, seed: int):
        random = np.random.RandomState(seed)
        self.x = random.standard_normal((NUM_DATA, WEIGHTS))
        self.y = self.x @ random.normal(0.0, PRIOR ** -0.5, (WEIGHTS, 1)) + random.standard_normal((NUM_DATA, 1))
        precision = self.x.T @ self.x + PRIOR * np.eye(WEIGHTS)
        self.mean = np.linalg.solve(precision, self.x.T @ self.y)[:, 0]
        self.sd = np.sqrt(np.diag(np.linalg.inv(precision)))
        self.likelihood = sg.likelihoods.Gaussian(sigma=1.0)
        self.likelihood.hybridize()

    def net(self) -> gluon.nn.Dense:
        """A linear network whose weights are drawn from the prior."""
        net = gluon.nn.Dense(1, use_bias=False, in_units=WEIGHTS)
        net.initialize(mx.init.Normal(PRIOR ** -0.5))
        net.hybridize(static_alloc=True)
        return net

    def error(self, weights: np.ndarray) -> float:
        """Of mean and standard deviation together, in posterior standard deviations, root mean square over weights.

        That is the 2-Wasserstein distance of the marginals, as if the samples were normal.
        """
        mean, sd = (weights.mean(0) - self.mean) / self.sd, weights.std(0) / self.sd - 1.0
        return float(np.sqrt((mean ** 2 + sd ** 2).mean()))


class Draws(common.Batches):
    """Minibatches drawn with replacement.

    Every example once an epoch would not do here: the gradients' errors then cancel over an epoch of 100 steps, so
    that SGHMC and SGNHT, which take out the heat they see from step to step, would leave the chain too cold.
    """

    def forever(self):
        while True:
            chosen = mx.nd.array(self._order.randint(0, len(self.x), self.size), dtype="int32")
            yield mx.nd.take(self.x, chosen), mx.nd.take(self.y, chosen)


class Result(NamedTuple):
    """An algorithm's error by the evaluations it has used, each of a minibatch."""

    name: str
    note: str
    evaluations: np.ndarray
    error: np.ndarray
    sd: float           # of the second half of the samples around the true mean, over the posterior's
    seconds: float


def result(problem: Problem, name: str, note: str, samples, cost: float, seconds: float) -> Result:
    """The error of the second half of the samples up to each point of the way."""
    weights = np.stack([s["weight"].asnumpy()[0] for s in samples]).astype(float)
    used = cost * np.array([s.step for s in samples])
    ends = np.unique(np.searchsorted(used, np.geomspace(max(100.0, used[3]), used[-1], 40), side="right"))
    ends = ends[ends > 1]
    halves = [weights[np.searchsorted(used, used[i - 1] / 2):i] for i in ends]
    return Result(name, note, used[ends - 1], np.array([problem.error(h) for h in halves]),
                  float(np.sqrt((((halves[-1] - problem.mean) / problem.sd) ** 2).mean())), seconds)


def full_data(args, problem: Problem, cls, name: str, leaps: int, **options) -> Result:
    """MH or HMC: tuned on a chain that starts at the posterior's mean, measured on another."""
    data = {"likelihood": problem.likelihood, "data": (problem.x, problem.y), "batch_size": NUM_DATA, "wd": PRIOR}
    net = problem.net()
    net.weight.set_data(nd.array(problem.mean[None]))
    tuned = cls(net, seed=args.seed + 1, **data, **options).run(0, burn_in=args.passes // (8 * leaps))
    chain = cls(problem.net(), seed=args.seed, step_size=tuned.step_size, **data, **options)
    start = time.perf_counter()
    chain.run(args.passes // leaps)
    seconds = time.perf_counter() - start
    return result(problem, name, f"step {chain.step_size:.3f}, {100 * chain.acceptance_rate:.0f} % accepted",
                  chain.samples, leaps * RATIO, seconds)


def stochastic(args, problem: Problem, sampler: str, **options) -> Result:
    """SGLD, SGHMC or SGNHT."""
    options = {"num_data": NUM_DATA, "wd": PRIOR, **options}
    trainer = sg.BayesianTrainer(problem.net(), sampler, options, problem.likelihood, thin=10, seed=args.seed,
                                 kvstore=None)
    batches = Draws(problem.x, problem.y, BATCH, args.seed)
    _, seconds = common.sample(trainer, problem.likelihood, batches, args.steps)
    note = f"learning rate {options['learning_rate']:g}"
    return result(problem, sampler.upper(), note, trainer.samples, 1.0, seconds)


def algorithms(args) -> List[Result]:
    mx.random.seed(args.seed)
    problem = Problem(args.seed)
    return [full_data(args, problem, sg.MetropolisHastings, "MH", 1),
            full_data(args, problem, sg.HMC, "HMC", 3, num_leapfrog=3),
            stochastic(args, problem, "sgld", learning_rate=0.002),
            stochastic(args, problem, "sghmc", learning_rate=0.0005, friction=0.1, gradient_noise="estimate"),
            stochastic(args, problem, "sgnht", learning_rate=0.0005, friction=0.05)]


def print_algorithms(results: List[Result]) -> None:
    budgets = (1000, 3000, 10000, 30000)
    print("\nerror (posterior standard deviations) after so many minibatch evaluations, and at the end\n")
    print(f"{'':6}" + "".join(f"{b:>9,}" for b in budgets) + "          at the end    sd   seconds")
    for r in results:
        cells = [f"{np.interp(b, r.evaluations, r.error):9.3f}" if r.evaluations[0] <= b <= r.evaluations[-1]
                 else f"{'':9}" for b in budgets]
        print(f"{r.name:6}{''.join(cells)}{r.evaluations[-1]:13,.0f}{r.error[-1]:7.3f}{r.sd:6.2f}{r.seconds:10.1f}   "
              f"{r.note}")
    print()


# ---------------------------------------------------------------- the picture

def plain(axis) -> None:
    """Numbers such as 0.2 on a logarithmic axis."""
    from matplotlib import ticker

    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(ticker.NullFormatter())


def draw(folder, found, results) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 8), constrained_layout=True)
    for ax, (name, optimum) in zip(axes[0], (("MH", 0.234), ("HMC", 0.651))):
        for i, (d, e) in enumerate(found[name].items()):
            ax.plot(100 * e.acceptance, e.passes.min() / e.passes, ".-", label=f"{d:,} weights",
                    color=plt.get_cmap("viridis")(0.9 * i / len(found[name])))
        ax.axvline(100 * optimum, color="k", linewidth=1, linestyle="--", label=f"theory, {100 * optimum:.1f} %")
        ax.set(xlabel="proposals accepted (%)", ylabel="efficiency (best = 1)", xlim=(0, 100), ylim=(0, 1.05),
               title={"MH": "Metropolis-Hastings", "HMC": "Hamiltonian Monte Carlo"}[name])
        ax.grid(alpha=0.25)
        ax.legend(frameon=False, fontsize=9)
    ax = axes[1, 0]
    for (name, by_dimension), power, color in zip(found.items(), (-0.5, -0.25), ("C0", "C1")):
        d = np.array(list(by_dimension), dtype=float)
        best = np.array([e.step[e.best] for e in by_dimension.values()])
        ax.plot(d, best, "o", color=color, label=name)
        scale = np.exp(np.mean(np.log(best) - power * np.log(d)))
        ax.plot(d, scale * d ** power, color=color, linewidth=1, label=f"proportional to $d^{{{power}}}$")
    ax.set(xscale="log", yscale="log", xlabel="weights d", ylabel="best step size (standard deviations)",
           title="the step shrinks by a power of d")
    plain(ax.yaxis)
    ax.grid(alpha=0.25)
    ax.legend(frameon=False, fontsize=9)
    ax = axes[1, 1]
    for i, r in enumerate(results):
        ax.plot(r.evaluations, r.error, color=f"C{i}", linewidth=1.8, label=r.name)
    ax.set(xscale="log", yscale="log", xlabel=f"minibatch evaluations (a pass over the data is {RATIO})",
           ylabel="error (posterior standard deviations)", title=f"{WEIGHTS} weights, posterior known")
    plain(ax.yaxis)
    ax.grid(alpha=0.25)
    ax.legend(frameon=False, fontsize=9)
    common.save(axes, folder, "why_stochastic")


def main() -> None:
    args = arguments()
    found = dimensions(args)
    print_dimensions(found)
    results = algorithms(args)
    print_algorithms(results)
    draw(common.picture_folder(args.out, "why_stochastic"), found, results)


if __name__ == "__main__":
    main()
