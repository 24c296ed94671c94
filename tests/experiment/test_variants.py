"""Free runs under other settings of the coarse model: made, scored, reported beside the usual."""

import json

import numpy as np
import pytest
from experiment_runs import SMALLEST

from subgrid.config import config_from_dict, load_config
from subgrid.errors import ConfigError
from subgrid.experiment import run_experiment
from subgrid.recipes.results import load_results

LEARNED = [
    "multiscale-small",
    "multiscale-small-unequal",
    "single-small",
    "multiscale-large",
    "single-large",
]


@pytest.mark.slow
def test_the_preset_repeats_the_free_runs_under_every_filter(tmp_path):
    config = load_config("otness2025-combined-qg", "tiny")
    sharpness = {one.name: one.constants for one in config.evaluation.variants}
    assert sharpness == {f"alpha-{a}": {"filter_sharpness": float(a)} for a in (5, 10, 15)}
    folder = run_experiment(config, tmp_path / "run")
    results = load_results(folder)
    assert list(results.variants) == list(sharpness)
    assert list(results.variants["alpha-15"]) == list(results.online)
    assert set(LEARNED) < set(results.online)
    for name, sets in results.online.items():
        spectra = [data["kinetic_energy_spectrum"].values for data in sets]
        sharper = [
            data["kinetic_energy_spectrum"].values for data in results.variants["alpha-15"][name]
        ]
        # a sharper filter leaves less energy at the smallest scales
        for sharp, usual in zip(sharper, spectra, strict=True):
            assert np.sum(sharp[..., -2:]) < np.sum(usual[..., -2:])
    scores = json.loads(folder.scores.read_text())
    assert list(scores["variants"]["alpha-5"]) == list(scores["online"])
    errors = [
        part["none"]["spectral_rmse"]["kinetic_energy_spectrum_upper"]["estimate"]
        for part in (scores["online"], scores["variants"]["alpha-15"])
    ]
    assert errors[0] != errors[1]
    # three multiscale models against two of a single scale, over two members
    pairs = {(pair["model"], pair["other"]): pair for pair in scores["multiscale_against_single"]}
    assert len(pairs) == 6
    pair = pairs["multiscale-small", "single-large"]
    small, large = (
        scores["online"][name]["spectral_rmse"]["kinetic_energy_spectrum_lower"]["estimate"]
        for name in ("multiscale-small", "single-large")
    )
    assert pair["error_ratio"]["lower"]["estimate"] == pytest.approx(small / large)
    assert (pair["members"], pair["finding"]) == (2, "too few members to tell")
    report = folder.report.read_text()
    assert "under other settings of the coarse model" in report
    assert ">alpha-15<" in report
    assert "Multiscale against single scale" in report
    # 3 x 3 taps from 2 and from 4 channels to 2: 9 · 2 · 6 weights and 4 biases; two operations per
    # weight and cell, 216
    assert report.count("<td>112</td><td>0.216</td>") == 5


def test_problems_of_variants_are_named(tmp_path):
    wrong = "evaluation.variants=[{name='a', constants={filter_sharpnes=2.0}}]"
    with pytest.raises(ConfigError, match=r"evaluation.variants.a.constants: unknown constant"):
        run_experiment(load_config(SMALLEST, overrides=[wrong]), tmp_path / "run")
    other = "evaluation.constants={deformation_radius=30000.0}"
    with pytest.raises(ConfigError, match=r"evaluation.constants.*which flow a state is"):
        run_experiment(load_config(SMALLEST, overrides=[other]), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    tables = load_config(SMALLEST).to_dict()
    tables["evaluation"]["variants"] = 2 * [{"name": "a", "constants": {}}]
    with pytest.raises(ConfigError, match=r"evaluation\.variants: the name 'a' is used 2 times"):
        config_from_dict(tables)
