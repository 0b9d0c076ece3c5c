"""sgmcmc-mx train: from a table to chains."""
from __future__ import annotations

import os
import re
import sys
from typing import Any, Dict, Optional, Tuple, Union

import click

from .console import PATH, PathName, answer, common, note, on_terminal, work

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Widths(click.ParamType):
    """Whole numbers with commas between: 16,16."""

    name = "16,16"

    def convert(self, value: Any, param: Optional[click.Parameter],
                ctx: Optional[click.Context]) -> Tuple[int, ...]:
        parts = value if isinstance(value, (list, tuple)) else re.split(r"[,\s]+", str(value).strip())
        if [p for p in parts if not re.fullmatch(r"[1-9][0-9]{0,5}", str(p))] and list(parts) != [""]:
            self.fail(f"{value!r} is no list of widths; write 16,16, or '' for a linear model", param, ctx)
        return tuple(int(p) for p in parts if p != "")


def _settings(ctx: click.Context, param: click.Parameter, path: Optional[str]) -> Optional[str]:
    """Take the values of a TOML file as defaults: what stands in the command line goes before them."""
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            found: Dict[str, Any] = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise click.BadParameter(f"{path} cannot be read: {getattr(e, 'strerror', None) or e}", ctx, param) from e
    known = {p.name: p for p in ctx.command.params if p.name not in (param.name, None)}
    values = {}
    for name, value in found.items():
        key = {"json": "as_json"}.get(name, name.replace("-", "_"))
        if key not in known:
            raise click.BadParameter(f"{path} has {name!r}, which is no option; there are "
                                     f"{', '.join(sorted(map(str, known)))}", ctx, param)
        if isinstance(value, dict):
            raise click.BadParameter(f"{path} has a table [{name}]; write {name} = ... with one value", ctx, param)
        values[key] = value if known[key].multiple or isinstance(value, (bool, list)) else str(value)
    ctx.default_map = {**(ctx.default_map or {}), **values}
    return path


@click.command(short_help="From a table to chains.")
@click.argument("data", type=PATH)
@click.option("--store", required=True, type=PATH, help="The folder that the run goes into.")
@click.option("--settings", type=PATH, callback=_settings, is_eager=True, expose_value=False, metavar="FILE",
              help="A TOML file with these options, such as hidden = [32, 32].")
@click.option("--target", metavar="COLUMN", help="The column to predict. Default: the last.")
@click.option("--task", type=click.Choice(["regression", "classification"]), help="Default: by the target's values.")
@click.option("--drop", multiple=True, metavar="COLUMN", help="Leave this column out; may be repeated.")
@click.option("--category", multiple=True, metavar="COLUMN", help="Take the values of this column for names; may be "
              "repeated.")
@click.option("--labels", type=PATH, help="The file of the labels, where DATA is an IDX file of images.")
@click.option("--network", default="mlp", show_default=True, metavar="NAME", help="mlp, lenet, resnet, or "
              "module:function, called without arguments.")
@click.option("--hidden", type=Widths(), default="16,16,16,16", show_default=True, help="Widths of the mlp's layers.")
@click.option("--activation", help="Of the mlp: tanh, relu, elu, ..., or choose. Default: relu for classes, tanh for "
              "numbers.")
@click.option("--budget", default="60", show_default=True, help="Seconds (60, '2 min') for all of it, or '5000 steps' "
              "of each chain.")
@click.option("--chains", default=4, show_default=True, type=click.IntRange(1), help="How many chains.")
@click.option("--samples", default=150, show_default=True, type=click.IntRange(1), help="Samples of each chain.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="The same seed, the same numbers.")
@click.option("--validation", default=0.1, show_default=True, type=click.FloatRange(0, 1, max_open=True),
              help="The part of the rows that is held out.")
@click.option("--prior", help="The precision of a Gaussian on each weight, fan_in, suggest, or usual: that of the "
              "estimators. Default: usual for the mlp, else 1.0.")
@click.option("--sampler", type=click.Choice(["sgnht", "sghmc", "sgld"]), help="The chain's law of motion. Default: "
              "sgnht.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="The chain's step. Default: what is "
              "measured at the trained weights.")
@click.option("--batch-size", type=click.IntRange(1), help="Rows in a minibatch. Default: all, where weights times "
              "rows are at most three million and no sampler is named, else 100.")
@click.option("--warm-start/--no-warm-start", default=True, show_default=True, help="Train each network before its "
              "chain begins.")
@click.option("--gpu", type=click.IntRange(0), metavar="NUMBER", help="Run on this GPU. Default: on the processor.")
@click.option("--predict", "new", type=PATH, metavar="FILE", help="Predict these rows when all is done.")
@click.option("-o", "--out", type=PathName(dir_okay=False), help="The CSV file for them.")
@common
def train(new: Optional[str], out: Optional[str], as_json: bool, **given: Any) -> None:
    """Train on DATA: a CSV or Parquet file, .npz (arrays x and y), IDX, or module:function, which returns (x, y).

    Columns are standardised, those of names become columns of 0 and 1. What was found out about the columns is told,
    and kept in the store, so that `predict` needs nothing else.

    \b
    sgmcmc-mx train concrete.csv --store runs/concrete
    sgmcmc-mx train wine.csv --target quality --budget '2 min' --store runs/w
    sgmcmc-mx train digits.idx --labels y.idx --network lenet --store runs/d
    sgmcmc-mx train --settings wine.toml
    sgmcmc-mx train a.csv --store runs/a --predict new.csv -o out.csv
    """
    if (new is None) != (out is None):
        raise click.UsageError("--predict and --out go together: write --predict new.csv -o out.csv")
    found = work("training").begun(given, on_terminal() and not as_json, new, out)
    content: Dict[str, Union[str, Any]] = found.content
    if new is not None and out is not None:
        table = work("predicting").predicted(given["store"], new, 0.9, (), given["network"])
        table.write(out)
        content = {**content, "predictions": os.fspath(out)}
        note(f"{len(table.rows)} rows written to {out}: {', '.join(table.columns)}")
    answer(as_json, content, found.text)
