"""scripts/reproduce: its exact numbers are exact, its bars can be missed, and short runs of its figures keep them."""
import math
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "papers").is_dir():
    pytest.skip("needs a checkout", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from papers import chen1, chen3, ding, li, main, quadrature, regression, report, welling_teh, zhang  # noqa: E402
from papers.report import Row, mean_error  # noqa: E402


def reproduce(capsys, tmp_path, *arguments):
    code = main.main([*arguments, "--out", str(tmp_path)])
    return code, capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------------- the bars

@pytest.mark.parametrize("value, error, exact, bar, kept", [
    (1.04, 0.01, 1.0, "z", True), (1.06, 0.01, 1.0, "z", False), (0.94, 0.01, 1.0, "z", False),
    (math.nan, 0.01, 1.0, "z", False), (1.0, math.nan, 1.0, "z", False), (1.0, 0.0, 1.0, "z", True),
    (1.06, 0.01, 1.0, "off", True), (0.94, 0.01, 1.0, "off", True), (1.04, 0.01, 1.0, "off", False),
    (math.nan, 0.01, 1.0, "off", False),
    (1.06, 0.01, 1.0, "above", True), (0.94, 0.01, 1.0, "above", False), (1.04, 0.01, 1.0, "above", False),
    (1.03, 0.01, 1.0, 0.04, True), (1.05, 0.01, 1.0, 0.04, False), (math.nan, 0.01, 1.0, 0.04, False),
    (1.03, None, 1.0, 0.04, True), (9.0, 0.01, 1.0, None, None)])
def test_a_bar(value, error, exact, bar, kept):
    row = Row("x", np.float64(value), error, exact, "here", bar)
    assert row.kept(quick=False) is kept
    assert report.Report("", "", [row], None).missed(quick=False) == ([row] if kept is False else [])
    assert len(row.cells(False)) == 8 and row.cells(False)[-1] == {True: "yes", False: "NO", None: ""}[kept]


def test_a_quick_run_widens_margins_by_its_error():
    assert Row("x", 1.08, 0.01, 1.0, "here", 0.04).kept(quick=True)
    assert not Row("x", 1.10, 0.01, 1.0, "here", 0.04).kept(quick=True)
    assert not Row("x", math.nan, math.nan, 1.0, "here", 0.04).kept(quick=True)


def test_mean_error():
    x = np.random.default_rng(0).normal(3.0, 2.0, 10000)
    mean, error = mean_error(x)
    assert mean == pytest.approx(x.mean()) and error == pytest.approx(0.02, rel=0.05)


def test_numbers_are_shown_to_two_digits_of_their_error():
    assert Row("x", 0.871234, 0.00123, 0.87, "here").cells(False)[1:4] == ["0.8712", "0.0012", "0.8700"]
    assert Row("x", 212.3, 31.0, 200.0, "here").cells(False)[1:4] == ["212", "31", "200"]
    assert Row("x", math.nan).cells(False)[1] == "nan"


# ------------------------------------------------------------------------------------------------- the exact numbers

def test_double_well():
    """The numbers that Ding's double well has to 6 digits, from another computation."""
    exact = ding.numbers(quadrature.Density(ding.potential, ding.LOW, ding.HIGH, 40001))
    assert exact == pytest.approx({"mean": -2.147955, "variance": 2.861767, "left mass": 0.87087}, abs=1e-5)
    assert ding.TOP == pytest.approx(-0.0383009, abs=1e-7)
    h = 1e-6
    for x in (-3.0, 0.4, 2.2):
        assert ding.gradient(x) == pytest.approx((ding.potential(x + h) - ding.potential(x - h)) / (2 * h), abs=1e-6)
        assert chen1.gradient(x) == pytest.approx((chen1.potential(x + h) - chen1.potential(x - h)) / (2 * h), abs=1e-6)


def test_law_of_the_discretised_chain_on_a_gaussian():
    """Closed forms: var = (1 - a/2) P / eta, P = q / (a (2 - a - eta/2)), and the thermostat's quadratic equation."""
    eta, a, q = 0.01, 0.05, 2 * 0.05 * 0.01 + 0.0004
    law, kinetic = quadrature.sghmc_law(quadrature.SGHMC(lambda x: x, eta, a, q), -9.0, 9.0)
    P = q / (a * (2 - a - eta / 2))
    assert kinetic == pytest.approx(P, rel=1e-6)
    assert law.mean(lambda x: x * x) == pytest.approx((1 - a / 2) * P / eta, rel=1e-6)
    assert law.mean(lambda x: x * x) == pytest.approx(1.4036, abs=1e-4)
    law, alpha = quadrature.thermostat_law(quadrature.SGHMC(lambda x: x, eta, 0.1, 2 * 0.1 * eta), -8.0, 8.0)
    assert alpha / 0.1 == pytest.approx(1.059, abs=1e-3)
    assert law.mean(lambda x: x * x) == pytest.approx(1 - alpha / 2, rel=1e-5)


def test_law_with_resampled_momentum():
    """Chen's figure 1 at dt = .1, as simulated elsewhere: .8287 +- .0014, and .8311 if not told of the noise."""
    assert chen1.law(True).mean(lambda x: x * x) == pytest.approx(0.8287, abs=0.004)
    assert chen1.law(False).mean(lambda x: x * x) == pytest.approx(0.8311, abs=0.004)


def test_closed_forms_of_the_correlated_gaussian():
    eta = 0.02
    var = [(eta + eta ** 2 / 4) / (eta * k * (1 - eta * k / 4)) for k in chen3.K]
    found = chen3.closed_form("sgld", eta, 10 ** 9)
    assert found[0] == pytest.approx(var)
    r = 1 - eta * chen3.K / 2
    assert found[1] == pytest.approx((var * (1 + r) / (1 - r)).sum() / np.sum(var))
    assert found[2] == pytest.approx(found[1], rel=1e-5)
    n, lags = 60, np.arange(1, 60)      # n Var(mean over n steps), summed directly
    direct = sum(v * (1 + 2 * ((1 - lags / n) * q ** lags).sum()) for v, q in zip(var, r)) / np.sum(var)
    late = 2 * sum(v * q ** n * q / (1 - q) ** 2 for v, q in zip(var, r)) / n / np.sum(var)     # which is left out
    assert chen3.closed_form("sgld", eta, n)[2] == pytest.approx(direct - late)
    tiny = chen3.closed_form("sghmc", 1e-6, 10 ** 9)
    assert tiny[0] == pytest.approx([1.9, 0.1], abs=0.003)


def test_linear_regression():
    problem = regression.Problem()
    assert problem.sgld(1e-9) == pytest.approx(np.ones(5), abs=1e-3)
    assert problem.momentum(1e-9, 0.1, 0.1)[0] == pytest.approx(np.ones(5), abs=0.03)
    ratio = problem.thermostat(0.001 / regression.N, 0.01)
    assert 0.6 < ratio.min() < 0.75 and 1.4 < ratio.max() < 1.65        # one thermostat for all


def test_equal_shares():
    assert zhang.shares() == pytest.approx(np.full(25, 0.04), abs=1e-6)


def test_welling_teh_posterior():
    """Two modes on either side of theta_2 = 0; the gradient of one example is that of its log density."""
    exact = welling_teh.Posterior(welling_teh.draw_data())
    p = exact.p / exact.p.max()
    ridge = p.max(axis=0)
    tops = [np.argmax(np.where(side, ridge, 0)) for side in (exact.t2 < 0, exact.t2 > 0)]
    assert ridge[np.abs(exact.t2).argmin()] < 0.9 * ridge[tops].min()
    assert exact.t2[tops] == pytest.approx([-1, 1], abs=0.3)
    assert exact.t1[p[:, tops].argmax(axis=0)] == pytest.approx([1, 0], abs=0.3)
    a, b, x, h = 0.3, -0.8, 1.7, 1e-5

    def U(a, b):
        return -np.logaddexp(-(x - a) ** 2 / 4, -(x - a - b) ** 2 / 4)

    import mxnet as mx
    g = welling_teh.gradients(mx.nd, *(mx.nd.array([v], dtype="float64") for v in (a, b, x)))
    assert g[0].asscalar() == pytest.approx((U(a + h, b) - U(a - h, b)) / (2 * h), abs=1e-6)
    assert g[1].asscalar() == pytest.approx((U(a, b + h) - U(a, b - h)) / (2 * h), abs=1e-6)


def test_slope():
    h = np.array([0.1, 0.2, 0.4])
    assert li.slope(h, -0.3 * h ** 2, 1e-3 * h)[0] == pytest.approx(2.0)
    rng = np.random.default_rng(0)
    z = [(li.slope(h, b, np.full(3, 1e-3))) for b in 0.3 * h ** 2 + 1e-3 * rng.standard_normal((2000, 3))]
    values, errors = np.array(z).T
    assert values.mean() == pytest.approx(2.0, abs=0.05) and values.std() == pytest.approx(errors.mean(), rel=0.2)
    h = np.array([0.1, 0.2, 0.3, 0.4])
    z = [li.first_order(h, b, np.full(4, 1e-3), (1, 2, 4))
         for b in 0.5 * h ** 2 + h ** 4 + 1e-3 * rng.standard_normal((2000, 4))]
    values, errors = np.array(z).T
    assert abs(values.mean()) < 5 * errors[0] / 2000 ** 0.5 and values.std() == pytest.approx(errors[0], rel=0.1)


# -------------------------------------------------------------------------------------------------------- the command

@pytest.mark.parametrize("name", ["chen-1", pytest.param("chen-3", marks=pytest.mark.slow)])
def test_quick_run(name, tmp_path, capsys):
    code, said = reproduce(capsys, tmp_path, name, "--quick")
    assert code == 0, said
    text = (tmp_path / f"{name}.md").read_text()
    assert text.strip() in said and "| z within 5 | yes |" in text
    picture = matplotlib.image.imread(str(tmp_path / f"{name}.png"))
    assert picture.shape[0] > 400 and picture[..., :3].std() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(main.FIGURES) - {"chen-1", "chen-3"}))
def test_other_quick_runs(name, tmp_path, capsys):
    code, said = reproduce(capsys, tmp_path, name, "--quick")
    assert code == 0, said
    assert (tmp_path / f"{name}.md").exists() and (tmp_path / f"{name}.png").exists()


@pytest.mark.parametrize("wrong", [{"temperature": 1.2}, {"gradient_noise": 30.0}])
def test_a_wrong_sampler_is_told(wrong, tmp_path, capsys, monkeypatch):
    right = chen1.Walkers
    monkeypatch.setattr(chen1, "Walkers", lambda *a, **options: right(*a, **{**options, **wrong}))
    code, said = reproduce(capsys, tmp_path, "chen-1", "--quick")
    assert code == 1 and "| NO |" in said and "NOT KEPT  chen-1: SGHMC" in said


def test_wrong_name(capsys):
    with pytest.raises(SystemExit) as e:
        main.main(["chen-2"])
    assert e.value.code == 2 and "welling-teh" in capsys.readouterr().err


def test_table_is_markdown():
    rows = [Row("a", 1.0, 0.1, 1.0, "here", "z"), Row("b", 2.0)]
    text = report.Report("Title", "Text", rows, lambda figure: None).markdown(quick=False)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 4 and {line.count("|") for line in lines} == {9}
