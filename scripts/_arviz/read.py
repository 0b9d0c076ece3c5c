"""Read a netCDF file with ArviZ alone, and say its LOO: python -I read.py FILE

Of ArviZ 0.15 to 1, whose groups are datasets of an InferenceData or of a DataTree.
"""

import sys
import warnings

import arviz


def main():
    warnings.simplefilter("ignore")     # that Pareto's k is large for some examples is no fault of the file
    idata = arviz.from_netcdf(sys.argv[1])
    groups = {"posterior", "sample_stats", "log_likelihood", "posterior_predictive", "observed_data"}
    missing = [name for name in groups if name not in idata]
    if missing:
        raise SystemExit(f"error: {', '.join(missing)} is missing")
    loo = arviz.loo(idata)
    elpd = loo.elpd_loo if hasattr(loo, "elpd_loo") else loo.elpd
    waic = f", WAIC {float(arviz.waic(idata).elpd_waic)!r}" if hasattr(arviz, "waic") else ""
    ess = arviz.ess(idata, var_names=["1.bias"])["1.bias"]
    if dict(ess.sizes) != {"1.bias_dim_0": 3} or not float(ess.min()) > 0:
        raise SystemExit(f"error: ess is {ess}")
    if "sgmcmc_mx" in sys.modules:
        raise SystemExit("error: sgmcmc_mx was imported")
    print(f"ArviZ {arviz.__version__} read {sys.argv[1].rpartition('/')[2]}: LOO {float(elpd)!r} of "
          f"{idata['observed_data']['y'].size} examples{waic}")


main()
