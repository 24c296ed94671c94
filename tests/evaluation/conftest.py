"""Small real runs that several tests look at: 32² truth, 16² coarse models, two members."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from subgrid.closures import AbstractClosure, Smagorinsky
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
    sample_sums,
    two_thirds_cut,
    with_costs,
)
from subgrid.systems import TwoLayerQG

sys.path.insert(0, str(Path(__file__).parent))  # for made_tables


class Runaway(AbstractClosure):
    """Amplifies the state until it leaves its bounds: growth by e in 1/`rate` seconds."""

    rate: float = 1e-4

    def __call__(self, state, memory=None, forcing=None):
        """Return the growth and the memory it got."""
        return jax.tree.map(lambda field: self.rate * field, state), memory


@pytest.fixture(scope="package")
def dt():
    """Return the time step of all runs, s."""
    return 7200.0


@pytest.fixture(scope="package")
def plan():
    """Return the plan of all runs: 12 frames in 4 segments."""
    return RunPlan(steps=48, save_every=4, snapshots=2)


@pytest.fixture(scope="package")
def runaway():
    """Return a closure that blows up."""
    return Runaway()


@pytest.fixture(scope="package")
def fine():
    """Return the system of the truth."""
    return TwoLayerQG(32)


@pytest.fixture(scope="package")
def coarse(fine):
    """Return the coarse system."""
    return fine.at(16)


@pytest.fixture(scope="package")
def coarsener(fine, coarse):
    """Return the map from fine to coarse."""
    return Operator1(fine.grid, coarse.grid)


@pytest.fixture(scope="package")
def fine_states(fine):
    """Return two stacked fine states, strong enough to do something within days."""
    states = jax.vmap(lambda key: fine.initial_state(key=key))(
        jax.random.split(jax.random.key(0), 2)
    )
    return jax.tree.map(lambda field: 20 * field, states)


@pytest.fixture(scope="package")
def coarse_states(fine_states, coarsener):
    """Return the same states on the coarse grid."""
    return jax.vmap(coarsener)(fine_states)


@pytest.fixture(scope="package")
def truth(fine, coarse, coarsener, fine_states, dt, plan):
    """Return the statistics of the truth."""
    observer = CoarsenedObserver(coarse, fine, coarsener)
    return free_runs(fine.model(dt), fine_states, plan, observer=observer)


@pytest.fixture(scope="package")
def runs(coarse, coarse_states, runaway, dt, plan):
    """Return runs without a closure, with a classical one, and with one that blows up."""
    closures = {"none": None, "smagorinsky": Smagorinsky(coarse), "runaway": runaway}
    return {
        name: [free_runs(coarse.model(dt, closure), coarse_states, plan)]
        for name, closure in closures.items()
    }


@pytest.fixture(scope="package")
def data(runs, truth, coarse):
    """Return the data of a report with every kind of figure and table."""
    cut = two_thirds_cut(coarse.grid)
    costs = {name: StepCost(1e-3, 1.0) for name in runs}
    scores = compare(runs, truth, baseline="none", system=coarse, cut=cut, samples=50)
    scores = with_costs(scores, costs)
    fields = np.random.default_rng(0).normal(size=(2, 2, 16, 16))
    return assemble_report(
        RunInfo(
            title="A <small> run",
            facts={"Run": {"preset": "quickstart", "seed": "0"}},
            commands=["subgrid run quickstart"],
            labels={"smagorinsky": "Smagorinsky"},
        ),
        Findings(
            coarse,
            truth,
            runs,
            scores,
            cut=cut,
            offline={"smagorinsky": [offline_scores(sample_sums(fields, fields, coarse.grid))]},
            curves={
                "smagorinsky": [
                    {"update": 0, "loss": None, "validation": {"loss": 1.0}},
                    {"update": 10, "loss": 0.5, "validation": {"loss": 0.6}},
                ]
            },
            snapshot=Snapshot(fields[0], fields[1], {"smagorinsky": fields[1]}),
            timing=Timing(7200.0, "a test machine"),
        ),
    )
