"""CPU time of a report at many models: the table of scores, the figures, the page.

The runs are short ones of two-layer QG without a closure; those of every model are copies of them
with other noise, so that every section, figure and table of a real report is there.

    python benchmarks/report.py [--models 20] [--networks 3] [--members 8] [--size 64] [--out FILE]
"""

import argparse
import time

import jax
import numpy as np

from subgrid.coarsening import Operator1
from subgrid.evaluation import (
    CoarsenedObserver,
    Findings,
    RunInfo,
    RunPlan,
    Snapshot,
    StepCost,
    Timing,
    assemble_report,
    compare,
    free_runs,
    offline_scores,
    render_html,
    sample_sums,
    two_thirds_cut,
    with_costs,
)
from subgrid.systems import TwoLayerQG

DT = 3600.0
PLAN = RunPlan(steps=96, save_every=4, snapshots=2)


def main():
    """Print the CPU seconds of each part."""
    args = arguments()
    fine = TwoLayerQG(2 * args.size)
    coarse = fine.at(args.size)
    truth, alone = simulated(fine, coarse, args.members)
    generator = np.random.default_rng(0)
    names = [f"model-{number}" for number in range(1, args.models)]
    runs = {"none": [alone]}
    runs |= {
        name: [noisy(alone, 0.03 * (1 + place), generator) for _ in range(args.networks)]
        for place, name in enumerate(names)
    }
    cut = two_thirds_cut(coarse.grid)
    table = timed(
        "table of scores", lambda: compare(runs, truth, baseline="none", system=coarse, cut=cut)
    )
    costs = {name: StepCost(1e-3 * (1 + n), 1.0 + n) for n, name in enumerate(runs)}
    findings = Findings(
        coarse,
        truth,
        runs,
        with_costs(table, costs),
        cut,
        offline=offline(names, args, coarse, generator),
        curves={name: learning_curve(generator) for name in names},
        snapshot=snapshot(names, args.size, generator),
        timing=Timing(DT, "this machine"),
    )
    info = RunInfo("Benchmark", {"Run": {"models": str(args.models)}}, ["none"])
    data = timed("sections and figures", lambda: assemble_report(info, findings))
    page = timed("page", lambda: render_html(data))
    print(f"{len(data.images)} images, {len(data.tables)} tables, {len(page) / 1e6:.1f} MB")
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            file.write(page)


def arguments():
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description="Times the report of many models.")
    for name, default in (("models", 20), ("networks", 3), ("members", 8), ("size", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", help="where to keep the page")
    return parser.parse_args()


def timed(what, work):
    """Return what `work` returns; print the CPU time it took."""
    start = time.process_time()
    found = work()
    print(f"{what}: {time.process_time() - start:.1f} s of CPU")
    return found


def simulated(fine, coarse, members):
    """Return the statistics of the truth and of the coarse model from the same states."""
    coarsener = Operator1(fine.grid, coarse.grid)
    states = jax.vmap(lambda key: fine.initial_state(key=key))(
        jax.random.split(jax.random.key(0), members)
    )
    states = jax.tree.map(lambda field: 20 * field, states)  # strong enough to move within days
    observer = CoarsenedObserver(coarse, fine, coarsener)
    truth = free_runs(fine.model(DT), states, PLAN, observer=observer)
    return truth, free_runs(coarse.model(DT), jax.vmap(coarsener)(states), PLAN)


def noisy(data, size, generator):
    """Return runs with every statistic changed by factors around 1 of a relative `size`."""
    changed = {
        name: values * generator.lognormal(0.0, size, values.shape).astype(values.dtype)
        for name, values in data.data_vars.items()
        if values.dtype.kind == "f"
    }
    return data.assign(changed).assign_attrs(data.attrs)


def offline(names, args, coarse, generator):
    """Return offline scores of every model and network."""
    true = generator.normal(size=(8, 2, args.size, args.size))
    return {
        name: [
            offline_scores(sample_sums(true + generator.normal(size=true.shape), true, coarse.grid))
            for _ in range(args.networks)
        ]
        for name in names
    }


def learning_curve(generator):
    """Return the records of a training."""
    losses = np.cumprod(generator.uniform(0.9, 1.0, 40))
    return [
        {"update": 100 * n, "loss": loss, "validation": {"loss": loss}}
        for n, loss in enumerate(losses)
    ]


def snapshot(names, size, generator):
    """Return a state, its forcing and what every model makes of it."""
    fields = generator.normal(size=(2 + len(names), 2, size, size))
    return Snapshot(fields[0], fields[1], dict(zip(names, fields[2:], strict=True)))


if __name__ == "__main__":
    main()
