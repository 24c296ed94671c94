"""`--dry-run` counts and times, and writes nothing."""

from pathlib import Path

SMALLEST = Path(__file__).parents[1] / "experiment" / "smallest.toml"


def test_a_dry_run_tells_the_cost_of_every_stage_and_writes_nothing(cli, tmp_path):
    code, out, err = cli("run", SMALLEST, "--dry-run")
    assert code == 0, err
    for stage in ("simulate", "train", "evaluate"):
        assert any(line.startswith(stage) for line in out.splitlines())
    # 2 + 1 + 2 trajectories of 8 spin-up steps and 6 frames, 2 steps apart
    assert "5 trajectories, 100 steps of 16 x 16 cells, 30 frames" in out
    # a cascade of two networks and a stack with two seeds, 6 updates each
    assert "24 updates of 2 learned closures" in out
    assert "on this machine" in out
    # 16 and 12 cells: 0.7 Δx/(14 U)
    assert "truth.dt = 7200 s; safe up to 120000 s for developed flow" in out
    assert out.count("safe up to") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_refuses_the_time_step_that_a_run_refuses(cli):
    code, _, err = cli(
        "run", SMALLEST, "--dry-run", "--set", "truth.nx=64", "--set", "truth.dt=1e5"
    )
    assert code == 2
    assert "truth.dt: got 100000 s, above the stability limit" in err
    assert "31000 s" in err
