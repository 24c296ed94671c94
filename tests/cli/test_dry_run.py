"""`--dry-run` counts and times, and writes nothing."""


def test_a_dry_run_tells_the_cost_of_every_stage_and_writes_nothing(cli, tmp_path):
    code, out, err = cli("run", "quickstart", "--profile", "tiny", "--dry-run")
    assert code == 0, err
    for stage in ("simulate", "train", "evaluate"):
        assert any(line.startswith(stage) for line in out.splitlines())
    # 2 + 1 + 2 trajectories of 40 spin-up steps and 8 frames, 4 steps apart
    assert "5 trajectories, 360 steps of 32 x 32 cells, 40 frames" in out
    assert "on this machine" in out
    assert list(tmp_path.iterdir()) == []
