"""`--dry-run` counts and times, and writes nothing."""

from pathlib import Path

from subgrid.config import load_config
from subgrid.experiment import RunFolder

SMALLEST = Path(__file__).parents[1] / "experiment" / "smallest.toml"


def test_a_dry_run_tells_the_cost_of_every_stage_and_writes_nothing(cli, tmp_path):
    code, out, err = cli("run", SMALLEST, "--dry-run")
    assert code == 0, err
    for stage in ("simulate", "train", "evaluate"):
        assert any(line.startswith(stage) for line in out.splitlines())
    # 2 + 1 + 2 trajectories of 8 spin-up steps and 6 frames, 2 steps apart
    assert "trajectories 5, steps 100, frames 30" in out
    # a cascade of two networks and a stack with two seeds, 6 updates each
    assert "trainings 3, updates 24" in out
    assert "on this machine" in out
    # 16 and 12 cells: 0.7 Δx/(14 U)
    assert "truth.dt = 7200 s; safe up to 120000 s for developed flow" in out
    assert "evaluation.dt, by default truth.dt = 7200 s; safe up to" in out
    assert out.count("safe up to") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_refuses_the_time_step_that_a_run_refuses(cli):
    code, _, err = cli(
        "run", SMALLEST, "--dry-run", "--set", "truth.nx=64", "--set", "truth.dt=1e5"
    )
    assert code == 2
    assert "truth.dt: got 100000 s, above the stability limit" in err
    assert "31000 s" in err


def test_a_dry_run_refuses_the_objects_that_a_run_cannot_build(cli):
    code, _, err = cli(
        "run", SMALLEST, "--dry-run", "--set", "models.smagorinsky.arguments={nonsense=1}"
    )
    assert code == 2
    assert "nonsense" in err


def test_a_dry_run_refuses_the_folder_that_a_run_refuses(cli, tmp_path):
    folder = RunFolder.create(tmp_path / "run", load_config(SMALLEST))
    begun = folder.manifest()
    done = {"data/test": {"key": folder.tasks["data/test"].key, "stage": "simulate", "files": {}}}
    folder.write_manifest({**begun, "tasks": done})
    code, _, err = cli("run", SMALLEST, "--dry-run", "--out", "run", "--set", "truth.frames=7")
    assert code == 2
    assert "truth.frames: there 6, here 7" in err
    folder.write_manifest(begun)
    folder.write_manifest({**folder.manifest(), "subgrid": "0.0.1"})
    code, _, err = cli("run", SMALLEST, "--dry-run", "--out", "run")
    assert code == 2
    assert "begun by subgrid 0.0.1" in err
    code, _, err = cli("run", SMALLEST, "--dry-run", "--out", "new", "--data-from", "run")
    assert code == 2
    assert "--data-from run: it was begun by subgrid 0.0.1" in err
    (tmp_path / "thesis.tex").write_text("precious")
    code, _, err = cli("run", SMALLEST, "--dry-run", "--out", tmp_path)
    assert code == 2
    assert "is not empty" in err


def test_a_dry_run_counts_separated_networks_and_variants(cli):
    variant = "evaluation.variants=[{name='sharp', constants={filter_sharpness=2.0}}]"
    code, out, err = cli(
        "run", "otness2025-separated", "--profile", "tiny", "--dry-run", "--set", variant
    )
    assert code == 0, err
    # two networks, four tasks at one pair of sizes, 2 updates each
    assert "trainings 8, updates 16" in out
    assert "free runs 2, steps 48" in out


def test_a_dry_run_does_not_count_samples_that_are_streamed(cli):
    def memory(trajectories):
        wanted = f"data.trajectories.train={trajectories}"
        code, out, err = cli("run", SMALLEST, "--dry-run", "--set", wanted)
        assert code == 0, err
        return next(line.split()[2:4] for line in out.splitlines() if line.startswith("train"))

    # state and forcing of two layers of 12 x 12 cells, 6 frames a trajectory
    number, unit = memory(10**4)
    assert unit == "MiB"
    assert float(number) > 10**4 * 6 * 2 * 2 * 12**2 * 4 / 2**20
    assert memory(10**9)[1] == "KiB"  # 14 TB fit nowhere
