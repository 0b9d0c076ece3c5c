"""A table of scikit-learn's in five lines: diabetes after a year, from age, weight and blood values.

Prints how sure the model is, and how often it is right about that: its error, how many of the rows that it has not seen
lie in their intervals, and whether the chains can be trusted. Needs scikit-learn: pip install 'sgmcmc_mx[sklearn]'
"""
import argparse

import _common as common
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

import sgmcmc_mx as sg


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--budget", default="20 s", help="seconds, or steps such as '20000 steps' (default %(default)s)")
    add("--chains", type=int, default=4)
    add("--seed", type=int, default=0)
    add("--quick", action="store_true", help="a few steps only, to see it run")
    add("--out", help="folder for pictures (default pictures/table)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    x, y = load_diabetes(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=args.seed)
    budget = "100 steps" if args.quick else args.budget
    model = sg.BayesianRegressor(hidden=(16, 16), chains=args.chains, budget=budget, seed=args.seed)
    model.fit(x_train, y_train)
    mean, low, high = model.predict(x_test, interval=0.9)
    for k in np.argsort(high - low)[[0, len(y_test) // 2, -1]]:
        print(f"between {low[k]:.0f} and {high[k]:.0f}, the mean {mean[k]:.0f}; it was {y_test[k]:.0f}")
    print(f"{len(y_test)} rows not seen: RMSE {np.sqrt(np.mean((mean - y_test)**2)):.1f}, R2 "
          f"{model.score(x_test, y_test):.3f}, NLL {-model.log_predictive_density(x_test, y_test).mean():.3f}, "
          f"{sg.metrics.coverage(y_test, low, high):.0%} in their intervals of 90 %")
    print(model.chosen_)
    print(model.summary())
    order, place = np.argsort(mean), np.arange(len(mean))
    ax = sg.plot.band(place, mean[order], quantiles=(low[order], high[order]), data=(place, y_test[order]))
    ax.set_xlabel("rows that were not seen, by their mean")
    common.save(ax, common.picture_folder(args.out, "table"), "intervals")


if __name__ == "__main__":
    main()
