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
    assert list(tmp_path.iterdir()) == []
