"""Free runs under other settings of the coarse model: made, scored, reported beside the usual."""

import json

import numpy as np
import pytest
from experiment_runs import SMALLEST

from subgrid.config import config_from_dict, load_config
from subgrid.errors import ConfigError
from subgrid.experiment import run_experiment
from subgrid.experiment.results import load_results

SHARP = "evaluation.variants=[{name='sharp', constants={filter_sharpness=40.0}}]"


def test_a_variant_repeats_the_free_runs_with_its_constants(tmp_path):
    config = load_config(SMALLEST, overrides=[SHARP, "training.updates=2", "training.warmup=1"])
    folder = run_experiment(config, tmp_path / "run")
    results = load_results(folder)
    assert list(results.variants) == ["sharp"]
    assert list(results.variants["sharp"]) == list(results.online)
    for name, sets in results.online.items():
        spectra = [data["kinetic_energy_spectrum"].values for data in sets]
        sharper = [
            data["kinetic_energy_spectrum"].values for data in results.variants["sharp"][name]
        ]
        # a sharper filter leaves less energy at the smallest scales
        for sharp, usual in zip(sharper, spectra, strict=True):
            assert np.sum(sharp[..., -2:]) < np.sum(usual[..., -2:])
    scores = json.loads(folder.scores.read_text())
    assert list(scores["variants"]["sharp"]) == list(scores["online"])
    errors = [
        part["none"]["spectral_rmse"]["kinetic_energy_spectrum_upper"]["estimate"]
        for part in (scores["online"], scores["variants"]["sharp"])
    ]
    assert errors[0] != errors[1]
    # the only multiscale model against the only other learned one, over two members
    (pair,) = scores["multiscale_against_single"]
    assert (pair["model"], pair["other"], pair["members"]) == ("cascade", "stacked", 2)
    cascade, stacked = (
        scores["online"][name]["spectral_rmse"]["kinetic_energy_spectrum_lower"]["estimate"]
        for name in ("cascade", "stacked")
    )
    assert pair["error_ratio"]["lower"]["estimate"] == pytest.approx(cascade / stacked)
    assert pair["finding"] == "too few members to tell"
    report = folder.report.read_text()
    assert "under other settings of the coarse model" in report
    assert ">sharp<" in report
    assert "Multiscale against single scale" in report
    # two layers of 3 x 3 and two channels out twice, of 2, 2, 4 and 2 in: 9 · 2 · 10 weights and 8
    # biases; two operations per weight and cell, 360
    assert report.count("<td>188</td><td>0.36</td>") == 2


def test_problems_of_variants_are_named(tmp_path):
    wrong = "evaluation.variants=[{name='a', constants={filter_sharpnes=2.0}}]"
    with pytest.raises(ConfigError, match=r"evaluation.variants.a.constants: unknown constant"):
        run_experiment(load_config(SMALLEST, overrides=[wrong]), tmp_path / "run")
    tables = load_config(SMALLEST).to_dict()
    tables["evaluation"]["variants"] = 2 * [{"name": "a", "constants": {}}]
    with pytest.raises(ConfigError, match=r"evaluation\.variants: the name 'a' is used 2 times"):
        config_from_dict(tables)
