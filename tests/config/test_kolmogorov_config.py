"""Configs of Kolmogorov flow: what does not fit is refused, and those of other flows stay."""

from pathlib import Path
from typing import get_args

import jax
import pytest

from subgrid.config import (
    build_coarse_systems,
    build_system,
    build_target,
    check_builds,
    config_from_dict,
    load_config,
)
from subgrid.config.kinds import Coupling
from subgrid.errors import ConfigError
from subgrid.provenance import config_hash
from subgrid.stepping import COUPLINGS

SMALLEST = Path(__file__).parents[1] / "experiment" / "smallest.toml"
NOISE, COMBINED = ("otness2025-kf-noise", "tiny"), ("otness2025-combined-kf", "tiny")


def refused(source, *overrides):
    """Return the message with which a preset with overrides is refused."""
    with pytest.raises(ConfigError) as caught:
        check_builds(load_config(*source, overrides=overrides))
    return str(caught.value)


@pytest.mark.parametrize("source", [NOISE, COMBINED])
def test_the_presets_build(source):
    config = load_config(*source)
    check_builds(config)
    assert build_target(config).substeps == build_target(config).fine_steps == 4
    assert build_target(config).dt == config.coarse_dt == 0.028
    assert (config.reference_stride, config.steps_per_frame) == (1, 2)


def test_the_step_whose_defect_is_learned_is_a_whole_number_of_the_truths():
    for dt in ("0.0315", "0.0035"):  # the truth is not the longer one
        config = load_config(*NOISE, overrides=[f"evaluation.dt={dt}", "evaluation.save_every=16"])
        with pytest.raises(ConfigError) as caught:
            check_builds(config)
        message = str(caught.value)
        assert f"dt = {dt} must be a whole multiple of the truth's 0.007" in message
        assert "coarse.target = 'step'" in message
    overrides = ["evaluation.dt=0.0315", "evaluation.save_every=16", "coarse.target=tendency"]
    assert load_config(*NOISE, overrides=overrides).coarse.target == "tendency"


def test_sizes_that_do_not_divide_the_truth_name_those_that_do():
    changes = ["truth.nx=512", "coarse.sizes=[48]", "truth.dt=0.001", "evaluation.dt=0.004"]
    changes += [f"calibration.models.multiscale-{n}.sizes=[48, 24]" for n in ("48", "32")]
    changes += ["calibration.models.multiscale-48-large.sizes=[48, 24]"]
    message = refused(NOISE, *changes)
    assert message.startswith("coarse.operator: ")
    assert "nx = 48 does not divide 512" in message
    assert "64" in message[message.index("Choose one of") :]
    assert "48" not in message[message.index("Choose one of") :]


def test_fields_are_coarsened_where_they_sit():
    message = refused(NOISE, "coarse.operator=operator1")
    assert message.startswith("coarse.operator: ")
    assert "'u' of KolmogorovFlow sits at 'east'" in message
    message = refused((SMALLEST,), "coarse.operator=staggered-mean", "coarse.sizes=[8, 4]")
    assert "'q' of TwoLayerQG sits at 'centre'" in message
    assert "operator1" in message


def test_a_finer_grid_whose_faces_make_no_coarse_ones_is_refused():
    tables = load_config(*COMBINED).to_dict()
    tables["models"].append({"name": "finer", "kind": "grid", "size": 24})
    with pytest.raises(ConfigError, match=r"models\.finer: .*nx = 16 does not divide 24"):
        check_builds(config_from_dict(tables))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"of": "large", "output": ["energy-limit"]},
            r"of: got 'large'; must be a learned .*large-clean",
        ),
        (
            {"of": "smagorinsky", "output": ["zero-mean"]},
            r"of: got 'smagorinsky'; must be a learned",
        ),
        ({"of": "large-limited", "output": ["zero-mean"]}, r"of: got 'large-limited'; must be"),
        ({"of": "single"}, "'more' changes nothing of 'single': give fine_tune, output or c"),
        ({"of": "single", "output": []}, "changes nothing of 'single'"),
        ({"of": "single", "energy_limit": True}, r'write output = \["energy-limit"\] instead'),
        ({"of": "single", "coupling": "add-befor"}, r"coupling.*'add-befor'"),
        ({"of": "single", "fine_tune": {"updates": 1}}, r"fine_tune\.frames: missing"),
        ({"of": "single", "fine_tune": {"updates": 0, "frames": 2}}, r"updates: got 0"),
    ],
)
def test_models_that_cannot_be_adapted_are_named(change, message):
    tables = load_config(*COMBINED).to_dict()
    tables["models"].append({"name": "more", "kind": "adapted", **change})
    with pytest.raises(ConfigError, match=rf"(?s)more.*{message}|models.*{message}"):
        config_from_dict(tables)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("calibration.levels=[0.1, 0.0]", "calibration.levels: got [0.1, 0.0]; must increase"),
        ("calibration.levels=[0.1, 0.1]", "'single-noise-0.1' is used 2 times"),
        ("calibration.levels=[-0.1, 0.1]", "calibration.levels"),
        ("calibration.levels=[]", "calibration.levels"),
        ("calibration.skip=['singel']", "calibration.skip: got 'singel'; must be one of"),
        (
            "calibration.skip=['multiscale-48', 'multiscale-32', 'single', 'multiscale-48-large', "
            "'single-large']",
            "leaves no model to try",
        ),
        ("calibration.models.single.training={updats=3}", "calibration.models.single.training"),
        ("calibration.models.multiscale-48.sizes=[16]", "models.multiscale-48.networks"),
        ("calibration.members=0", "calibration.members"),
        ("data.trajectories.validation=0", "(calibration)"),
    ],
)
def test_calibrations_that_cannot_be_are_named(override, message):
    assert message in refused(NOISE, override)


def test_a_calibration_trains_every_model_with_every_level_but_those_skipped():
    config = load_config(*NOISE, overrides=["calibration.skip=['single', 'multiscale-32']"])
    assert [model.name for model in config.added_models()] == [
        f"{name}-noise-{level}"
        for name in ("multiscale-48", "multiscale-48-large", "single-large")
        for level in ("0", "0.1")
    ]
    assert [config.training_of(model).noise for model in config.added_models()[:2]] == [0.0, 0.1]
    assert config.trains
    tables = config.to_dict()
    tables["models"].append({"name": "single-large-noise-0.1", "kind": "closure", "closure": "x"})
    with pytest.raises(ConfigError, match=r"calibration: the name 'single-large-noise-0\.1' is"):
        config_from_dict(tables)


def test_a_coupling_is_for_systems_that_take_steps_of_their_own():
    message = refused((SMALLEST,), "models.smagorinsky.coupling=project-after")
    assert message.startswith("models.smagorinsky.coupling: ")
    assert "TwoLayerQG does not" in message
    tables = load_config(*COMBINED).to_dict()
    learned = next(model for model in tables["models"] if model["name"] == "large-clean")
    adapted = {"kind": "adapted", "of": "large-clean"}
    tables["models"] += [
        {**adapted, "name": "limited", "output": ["energy-limit"]},
        {**adapted, "name": "projected", "coupling": "project-after"},
    ]

    def couplings():
        config = config_from_dict(tables)
        check_builds(config)
        return [model.coupling_in(config) for model in config.models[-2:]]

    assert couplings() == [None, "project-after"]
    learned["coupling"] = "add-within"
    assert couplings() == ["add-within", "project-after"]  # like the model they are made of


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["coarse.target=step"],
            "coarse.target = 'step': what a step misses is for systems that take steps of",
        ),
        (
            ["models.cascade.output=['divergence-free']"],
            "models.cascade.output: divergence-free: divergence-free is for systems of two",
        ),
    ],
)
def test_what_only_velocities_on_faces_have_is_refused_for_others(overrides, message):
    assert refused((SMALLEST,), *overrides).startswith(message)


def test_a_calibration_is_for_flows_that_are_followed():
    tables = load_config(SMALLEST).to_dict()
    model = {**tables["models"][2], "name": "tried"}
    tables["recipe"] = "noise"
    tables["calibration"] = {"levels": [0.0, 0.1], "models": [model], "members": 1}
    with pytest.raises(ConfigError, match="calibration: free runs must be followed by their truth"):
        check_builds(config_from_dict(tables))


def test_runs_and_windows_fit_into_their_trajectories():
    tune = "models.large-unrolled.fine_tune.frames"
    message = refused(COMBINED, f"{tune}=12")
    assert f"{tune}: got 12; must be below truth.frames = 12" in message
    assert load_config(*COMBINED, overrides=[f"{tune}=11"])
    # test trajectories may be longer, those of the validation are not
    longer = ["data.test_frames=20", "evaluation.steps=30"]
    assert load_config(*COMBINED, overrides=longer)
    message = refused(NOISE, *longer)
    assert "calibration: free runs of 15 frames are longer than a validation traj" in message
    apart = ["evaluation.dt=0.042", "evaluation.save_every=4", "evaluation.steps=8"]
    apart += ["evaluation.average_from=4"]
    message = refused(COMBINED, *apart)
    assert "models.large-unrolled.fine_tune: the frames of the truth are 0.056 apart" in message


def test_more_members_than_trajectories_need_random_starts():
    message = refused(COMBINED, "evaluation.starts=first")
    assert "evaluation.members: got 2" in message
    assert 'evaluation.starts = "random"' in message


def test_networks_see_the_vorticity_and_predict_a_streamfunction():
    config = load_config(*COMBINED)
    coarse = build_coarse_systems(config, build_system(config))[0]
    models = {model.name: model for model in config.learned()}
    for name, channels in (("large-clean", (3, 2)), ("large-streamfunction", (3, 1))):
        stacked = models[name].closure(config, coarse, jax.random.key(0)).network
        assert (stacked.in_channels, stacked.out_channels) == channels


@pytest.mark.parametrize("override", ["evaluation.starts=random", "coarse.target=step"])
def test_every_choice_is_in_the_tables_of_a_config(override):
    usual, other = (load_config(SMALLEST, overrides=each).to_dict() for each in ((), (override,)))
    assert config_hash(other) != config_hash(usual)
    assert config_from_dict(other).to_dict() == other


def test_the_couplings_of_a_config_are_those_of_the_models():
    assert set(get_args(Coupling)) == set(COUPLINGS)
