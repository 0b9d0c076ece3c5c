"""Times other libraries and this one on the same works: a fresh process each, in turn, the best form of each."""
from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

import numpy as np

from sgmcmc_mx import datasets

from .. import clock, report
from .environments import ensure

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# XLA's former CPU runtime, which this version of JAX still has, is the faster one for these programs.
FORMER = {"XLA_FLAGS": "--xla_cpu_use_thunk_runtime=false"}
WORKS = ("W1", "W2", "W3", "W4", "T1", "T16")       # see common.py
OURS, ALONE = "sgmcmc_mx", "forward and backward alone"


class Run(NamedTuple):
    """One way to do a work."""

    library: str
    sampler: str
    form: str
    script: str
    environment: str = ""   # none: the interpreter that runs this
    variables: Tuple[Tuple[str, str], ...] = ()
    works: str = "W1,W2,W3,W4"


def _runs() -> List[Run]:
    mx = "peer_mxnet.py"
    found = [Run("PyTorch", "sgd", "fused", "peer_torch.py", "torch"),
             Run("MXNet", "sgd", "", mx), Run("MXNet", "alone", "", mx), Run("MXNet", "alone", "1 thread", mx)]
    former = tuple(FORMER.items())
    for sampler in ("sgld", "sghmc", "sgnht"):
        found += [Run(OURS, sampler, "", mx),
                  Run("posteriors", sampler, "compiled", "peer_torch.py", "torch"),
                  Run("posteriors", sampler, "in place", "peer_torch.py", "torch", works="W1,W3"),
                  Run("blackjax", sampler, "scan", "peer_blackjax.py", "blackjax",
                      works="W1,W3" if sampler == "sghmc" else "W1,W2,W3,W4"),
                  Run("SGMCMCJax", sampler, "scan", "peer_sgmcmcjax.py", "sgmcmcjax", former)]
        found += [Run(OURS, sampler, "native", "peer_table_mxnet.py", works="T1,T16"),
                  Run(OURS, sampler, "MXNet's operators", "peer_table_mxnet.py", works="T1"),
                  Run("blackjax", sampler, "scan", "peer_table_blackjax.py", "blackjax", works="T1"),
                  Run("blackjax", sampler, "vmap", "peer_table_blackjax.py", "blackjax", works="T16")]
    found.append(Run("blackjax", "sghmc", "loop", "peer_blackjax.py", "blackjax"))
    return found


def run(folder: Path, works: List[str], reps: int, limit: float, quick: bool) -> int:
    """Time, resume where a former call was interrupted, and print the table."""
    for work in works:
        if work not in WORKS:
            raise SystemExit(f"error: --works {work}: there is no such work; write some of {', '.join(WORKS)}")
    runs = [r for r in _runs() if set(r.works.split(",")) & set(works)]
    pythons = {name: ensure(name) for name in sorted({r.environment for r in runs} - {""})}
    pythons[""] = Path(sys.executable)
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "peers.jsonl"
    done = {key for key, d in _read(record).items() if d["clean"]}
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as data:
        if any(work.startswith("W") for work in works):
            _write_data(Path(data))
        todo = [(rep, work, r) for rep in range(reps) for work in works for r in runs if work in r.works.split(",")
                and (rep, work, r.library, r.sampler, r.form) not in done]
        try:
            for i, (rep, work, r) in enumerate(todo):
                if time.monotonic() - start > limit:
                    print(f"the time is up with {len(todo) - i} runs to go; call again to go on", flush=True)
                    break
                result = _time(r, work, pythons[r.environment], data, quick)
                result.update(rep=rep, work=work, library=r.library, sampler=r.sampler, form=r.form)
                with open(record, "a") as f:
                    f.write(json.dumps(result) + "\n")
                said = f"{result['ms']:.3f} ms, {result['clean']}/{result['blocks']} quiet blocks" if "ms" in result \
                    else result["error"]
                print(f"{i + 1}/{len(todo)} {work} {r.library} {r.sampler} {r.form}: {said}", flush=True)
        except KeyboardInterrupt:
            print("interrupted; call again to go on", flush=True)
    return _table(record, folder, works)


def _time(r: Run, work: str, python: Path, data: str, quick: bool) -> dict:
    env = {**os.environ, **dict(r.variables)}
    if not r.environment:
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    else:
        env.pop("PYTHONPATH", None)
    command = [str(python), "-W", "ignore", str(HERE / r.script), "--work", work, "--sampler", r.sampler,
               "--form", r.form, "--data", data, *(["--block", "0.1", "--blocks", "2", "--most", "2"] if quick else [])]
    _wait_for_quiet(0.0 if quick else 10.0)
    try:
        out = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        return {"error": "took more than 10 minutes"}
    for line in out.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[len("RESULT "):])
    return {"error": (out.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]}


def _wait_for_quiet(most: float) -> None:
    end = time.monotonic() + most
    while time.monotonic() < end:
        before = clock.machine_seconds()
        if before is None:
            return
        time.sleep(0.5)
        if clock.machine_seconds() - before < 0.1:
            return


def _write_data(folder: Path) -> None:
    mnist = datasets.mnist()
    np.save(folder / "images.npy", np.asarray(mnist.x_train, dtype=np.float32).reshape(-1, 784))
    np.save(folder / "labels.npy", np.asarray(mnist.y_train, dtype=np.int32))


def _read(record: Path) -> Dict[tuple, dict]:
    found = {}
    if record.exists():
        for line in record.read_text().splitlines():
            d = json.loads(line)
            key = d["rep"], d["work"], d["library"], d["sampler"], d["form"]
            if "ms" in d and (d["clean"] or not found.get(key, d)["clean"]):
                found[key] = d
    return found


def _table(record: Path, folder: Path, works: List[str]) -> int:
    """Milliseconds a step by library and sampler: the median over repetitions, of the best form."""
    times: Dict[tuple, List[float]] = {}
    loud = set()
    for d in _read(record).values():
        key = d["work"], d["library"], d["sampler"], d["form"]
        times.setdefault(key, []).append(d["ms"])
        if not d["clean"]:
            loud.add(key)
    found = report.Report(f"# Against other libraries\n\n{report.machine()}; {time.strftime('%Y-%m-%d')}. MNIST in "
                          "memory, float32, the same first weights and minibatch sizes, all cores.")
    rows = []
    for work in works:
        best: Dict[tuple, Tuple[float, str, str]] = {}
        for (w, library, sampler, form), ms in times.items():
            if w == work:
                middle = statistics.median(ms)
                if (library, sampler) not in best or middle < best[library, sampler][0]:
                    star = "*" if (w, library, sampler, form) in loud else ""
                    best[library, sampler] = middle, form, f"{len(ms)}{star}"
        for library, sampler in (("MXNet", "alone"), ("MXNet", "sgd"), ("PyTorch", "sgd")):
            if (library, sampler) in best:
                middle, form, count = best[library, sampler]
                what = ALONE if sampler == "alone" else "SGD with momentum"
                rows.append((work, f"{library}: {what}", form, middle, "", count))
        for sampler in ("sgld", "sghmc", "sgnht"):
            own = best.get((OURS, sampler))
            for (library, s), (middle, form, count) in sorted(best.items(), key=lambda item: item[1][0]):
                if s == sampler:
                    rows.append((work, f"{sampler}: {library}", form, middle, middle / own[0] if own else "", count))
                    if own and library != OURS and work != "W4":
                        found.bar(f"{work} {sampler}, {OURS} x {library}", own[0] / middle, 1.0)
            if own:
                found.columns.setdefault(f"{work}: ms a step, x {OURS}", {}).update({
                    f"{s} {library}": v[0] / best[OURS, s][0] for (library, s), v in best.items()
                    if s == sampler and library != OURS})
    found.table("Milliseconds a step", ["work", "", "form", "ms", f"x {OURS}", "repetitions"], rows,
                "A ratio above 1 says that the other library is slower. W1: 784-400-400-10, batch 100; W2: "
                "784-1200-1200-10, batch 100; W3: 784-128-10, batch 500; W4: 784-10, batch 500; T1: 8-16-16-16-16-1 on "
                "a table of 1,000 rows, batch 100; T16: 16 chains of it side by side, a step of one of them. A step is "
                "one gradient, also of an SGHMC that takes several a call. A star: no quiet block in some run.")
    found.finish(folder, "peers")
    return 0
