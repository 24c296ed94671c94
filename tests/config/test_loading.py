"""Configs: merging, overrides, and a clear message for everything that is wrong."""

import tomllib
from pathlib import Path

import jax
import pytest

from subgrid.closures import FluxForm, ScaleCut, ZeroMean
from subgrid.config import (
    build_coarse_systems,
    build_system,
    check_builds,
    config_from_dict,
    config_to_toml,
    load_config,
    preset_names,
    preset_text,
    profile_names,
)
from subgrid.errors import ConfigError, UnknownNameError

# numbers of a preset are tuned; these stay
SMALLEST = Path(__file__).parents[1] / "experiment" / "smallest.toml"


@pytest.mark.parametrize("preset", preset_names())
def test_every_profile_of_every_preset_is_valid_and_survives_toml(preset):
    for profile in (None, *profile_names(preset)):
        config = load_config(preset, profile)
        assert config_from_dict(tomllib.loads(config_to_toml(config))) == config


def test_a_profile_changes_only_what_it_names():
    base, tiny = load_config("quickstart"), load_config("quickstart", "tiny")
    assert tiny.truth.nx < base.truth.nx
    assert tiny.truth.dt == base.truth.dt
    assert [m.name for m in tiny.models] == [m.name for m in base.models]
    assert tiny.label == "quickstart-tiny"


def test_overrides_come_last_and_reach_into_models():
    config = load_config(
        "quickstart",
        "tiny",
        ["training.updates=77", "models.multiscale.width=0.5", "training.optimiser=adamw"],
    )
    assert config.training.updates == 77
    assert config.training.optimiser == "adamw"
    assert config.learned()[0].width == 0.5


def test_a_model_can_change_single_settings_of_the_training():
    config = load_config("quickstart", "tiny", ["models.multiscale.training={updates=5}"])
    multiscale, single = config.learned()
    assert config.training_of(multiscale).updates == 5
    assert config.training_of(single) == config.training


def test_files_and_run_folders_are_sources(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(preset_text("quickstart"))
    assert load_config(file, "tiny") == load_config("quickstart", "tiny")
    assert load_config(tmp_path, "tiny") == load_config("quickstart", "tiny")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("training.updtes=3", ("training.updtes", "unknown key", "'updates'")),
        ("tranining.updates=3", ("tranining", "unknown key", "'training'")),
        ("training.updates=-1", ("training.updates", "got -1", "at least 1")),
        ("training.updates=1.5", ("training.updates", "got 1.5", "integer")),
        ("training.updates=many", ("training.updates", "got 'many'", "integer")),
        ("seed=-1", ("seed: got -1", "at least 0")),
        ("seed=4294967296", ("seed: got 4294967296", "at most 4294967295")),
        ("truth.nx=true", ("truth.nx", "got True", "integer")),
        ("truth.dt=0", ("truth.dt", "got 0", "greater than 0")),
        ("data.store_flux=1", ("data.store_flux", "got 1", "must be true or false")),
        ("truth.dt=inf", ("truth.dt", "got inf", "finite")),
        ("training.schedule=cosin", ("training.schedule", "'cosine'", "'constant'")),
        ("training.warmup=1000000", ("training", "warmup = 1000000", "smaller than updates")),
        ("training.weight_decay=0.1", ("training", "weight_decay = 0.1", "adamw")),
        ("training=3", ("training", "got 3", "table")),
        ("models.cascade.widht=1.0", ("models.cascade.widht", "unknown key", "'width'")),
        ("models.cascade.kind=lerned", ("models.cascade.kind", "'lerned'", "'learned'")),
        ("models.cascde.width=1.0", ("cascde", "Did you mean 'cascade'")),
        ("models.cascade.networks=['psm4']", ("models.cascade.networks", "one network per")),
        ("models.stacked.networks=['psm4']", ("models.stacked", "needs 2 network")),
        ("models.cascade.zero_mean=true", ("models.cascade", 'write output = ["zero-mean"] ins')),
        ("models.cascade.inputs=['q']", ("models.cascade", "inputs is of an older", "features")),
        ("models.stacked.output=[{share=0.5}]", ("models.stacked.output", "needs", "`name`")),
        ("models.stacked.sizes=[12]", ("models.stacked", "'stacked' takes no sizes")),
        ("models.cascade.sizes=[12]", ("models.cascade.networks: got 2 for 1 sizes [12]",)),
        ("models.cascade.sizes=[8, 6]", ("models.cascade.sizes", "coarse.sizes[0] = 12")),
        ("models.cascade.sizes=[12, 12]", ("models.cascade.sizes", "must decrease")),
        (
            "models.cascade.training={updates=0}",
            ("models.cascade.training.updates", "got 0", "at least 1"),
        ),
        ("coarse.sizes=[8, 12]", ("1 problem in", "coarse.sizes", "must decrease")),
        (
            "data.trajectories.train=0",
            ("data.trajectories.train", "got 0", "at least 1", "models.cascade, models.stacked"),
        ),
        ("data.trajectories.validation=0", ("data.trajectories.validation", "got 0")),
        ("data.trajectories.test=0", ("data.trajectories.test", "got 0", "at least 1")),
        ("evaluation.members=99", ("evaluation.members", "got 99", "data.trajectories.test")),
        ("evaluation.save_every=5", ("evaluation.save_every", "36000;", "multiple", "14400 (")),
        ("evaluation.steps=9", ("evaluation.steps", "got 9", "multiple")),
        ("evaluation.steps=400", ("evaluation.steps", "got 400", "at most 10", "test_frames")),
        ("evaluation.save_every=9999", ("evaluation", "steps = 10", "save_every = 9999")),
        ("name=a b", ("name", "'a b'", "letters, digits")),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(override, parts):
    with pytest.raises(ConfigError) as caught:
        load_config(SMALLEST, overrides=[override])
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("coarse.sizes=[12, 9]", "coarse.sizes: nx must be an even whole number of at"),
        ("coarse.sizes=[16, 8]", "coarse.sizes: got 16; must be smaller than the truth: a state"),
        ("truth.nx=17", "truth: nx must be an even whole number of at least 4, got 17"),
        ("truth.ny=18", "coarse.sizes: nx = 12 makes ny = 13.5"),
        ("models.cascade.sizes=[12, 7]", "models.cascade.sizes: nx must be an even whole number"),
    ],
)
def test_a_system_says_which_sizes_it_can_have(override, message):
    with pytest.raises(ConfigError) as caught:
        check_builds(load_config(SMALLEST, overrides=[override]))
    assert message in str(caught.value)


def test_a_multiscale_model_may_have_scales_that_the_data_lack():
    changes = ["coarse.sizes=[12]", "models.cascade.sizes=[12, 8, 6]"]
    changes += ["models.cascade.networks=['4x3-x3', '4x3-x3', '4x3-x3']"]
    config = load_config(SMALLEST, overrides=changes)
    cascade, stacked = config.learned()
    assert cascade.scales(config.coarse) == (12, 8, 6)
    assert stacked.scales(config.coarse) == (12,)
    coarse = build_coarse_systems(config, build_system(config))[0]
    network = cascade.closure(config, coarse, jax.random.key(0)).network
    assert network.sizes == (12, 8, 6)
    assert "sizes" not in load_config(SMALLEST).to_dict()["models"][2]  # keys of older runs hold


def test_every_problem_is_listed_at_once():
    with pytest.raises(ConfigError, match="3 problems"):
        load_config(SMALLEST, overrides=["seed=-1", "truth.nx=0", "training.chunk=0"])


def test_a_missing_key_is_named():
    tables = tomllib.loads(preset_text("quickstart"))
    del tables["profiles"], tables["truth"]["dt"]
    with pytest.raises(ConfigError, match=r"truth\.dt: missing"):
        config_from_dict(tables)


def test_two_models_need_two_names():
    tables = tomllib.loads(preset_text("quickstart"))
    del tables["profiles"]
    tables["models"].append({"name": "smagorinsky", "kind": "closure", "closure": "smagorinsky"})
    with pytest.raises(ConfigError, match="'smagorinsky' is used 2 times"):
        config_from_dict(tables)


def test_no_model_is_called_like_a_trained_network_of_another():
    tables = tomllib.loads(SMALLEST.read_text())
    closure = {"kind": "closure", "closure": "smagorinsky"}
    both = [*tables["models"], {"name": "stacked-seed1", **closure}]
    with pytest.raises(
        ConfigError, match=r"models\.stacked-seed1\.name: .*learned model 'stacked'"
    ):
        config_from_dict({**tables, "models": both})
    # two initialisations: 0 and 1
    fine = [*tables["models"], {"name": "stacked-seed2", **closure}]
    names = [model.name for model in config_from_dict({**tables, "models": fine}).models]
    assert names[-1] == "stacked-seed2"


def test_exactly_one_model_is_without_a_closure():
    tables = tomllib.loads(preset_text("quickstart"))
    del tables["profiles"], tables["models"][0]
    with pytest.raises(ConfigError, match='0 of kind "none"; exactly one'):
        config_from_dict(tables)


def test_unknown_presets_profiles_and_files_are_named(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'quickstart'"):
        load_config("quickstrt")
    with pytest.raises(UnknownNameError, match="Did you mean 'tiny'"):
        load_config("quickstart", "tny")
    with pytest.raises(ConfigError, match="no config file"):
        load_config(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(broken)


@pytest.mark.parametrize("override", ["training.updates", "=3", "training..updates=3"])
def test_a_malformed_override_is_refused(override):
    with pytest.raises(ConfigError, match="must look like"):
        load_config("quickstart", "tiny", [override])


def test_the_flux_form_is_refused_for_a_system_that_has_none():
    flow = ["truth.system=barotropic", "truth.configuration=otness2025", "truth.dt=0.02"]
    config = load_config(SMALLEST, overrides=["data.store_flux=true", *flow])
    with pytest.raises(ConfigError, match=r"data\.store_flux: .*`advective_flux`.*'barotropic'"):
        check_builds(config)


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        ('["q", "tendencies"]', r"unknown feature 'tendencies'.*'tendency'"),
        ('["q", "q"]', "each once"),
        ("[]", "each once|at least 1"),
    ],
)
def test_features_that_do_not_exist_are_refused(features, problem):
    with pytest.raises(ConfigError, match=rf"(?s)models\.cascade\.features.*({problem})"):
        check_builds(load_config(SMALLEST, overrides=[f"models.cascade.features={features}"]))


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("[{ name = 'cut', share = 0.5 }]", "output: share: got 0.5, but size 8 of 12 holds all"),
        ("[{ name = 'cut', share = 1.5 }]", "output: cut: share: got 1.5"),
        ("[{ name = 'cut', share = 0.16 }]", "must be at least 0.167, or no wave of 12 cells"),
        ("['cut']", "output: cut: .*share"),
        ("['zero-maen']", "unknown constraint 'zero-maen'. Did you mean 'zero-mean'"),
        ("['flux-form', 'flux-form']", "are two readings of the network's output"),
        ("['zero-mean', 'flux-form']", "FluxForm reads the network's output: put it first"),
        ("['divergence-free']", "output: divergence-free: .* two velocities on the faces"),
        ("['energy-limit']", "output: energy-limit: .* TwoLayerQG has none among"),
    ],
)
def test_constraints_that_do_not_apply_are_refused(output, problem):
    overrides = ["models.cascade.sizes=[12, 8]", f"models.cascade.output={output}"]
    with pytest.raises(ConfigError, match=rf"(?s)models\.cascade\.{problem}|{problem}"):
        check_builds(load_config(SMALLEST, overrides=overrides))


def test_constraints_come_with_their_arguments_and_in_their_order():
    chosen = '["flux-form", "zero-mean", { name = "cut", share = 0.7 }]'
    config = load_config(SMALLEST, overrides=[f"models.stacked.output={chosen}"])
    check_builds(config)
    assert config_from_dict(config.to_dict()) == config
    coarse = build_coarse_systems(config, build_system(config))[0]
    closure = config.learned()[1].closure(config, coarse, jax.random.key(0))
    assert closure.output.constraints == (FluxForm(coarse.grid), ZeroMean(), ScaleCut(0.7))


def test_networks_are_built_for_their_features():
    overrides = [
        'models.cascade.features=["q", "tendency"]',
        'models.stacked.features=["tendency"]',
    ]
    config = load_config(SMALLEST, overrides=overrides)
    check_builds(config)
    coarse = build_coarse_systems(config, build_system(config))[0]
    found = {}
    for model in config.learned():
        network = model.closure(config, coarse, jax.random.key(0)).network
        found[model.name] = network.in_channels, network.out_channels
    assert found == {"cascade": (4, 2), "stacked": (2, 2)}


@pytest.mark.parametrize(
    ("trained", "where"),
    [
        ({"recipe": "architectures", "search": {"candidates": ["psm4"]}}, r"\(search\)"),
        (
            {"recipe": "separated", "separated": [{"name": "alone", "network": "psm4"}]},
            r"\(separated\.alone\)",
        ),
    ],
)
def test_training_data_may_be_left_out_only_where_nothing_is_trained(trained, where):
    tables = tomllib.loads(SMALLEST.read_text())
    tables["models"] = [model for model in tables["models"] if model["kind"] != "learned"]
    tables["data"]["trajectories"] |= {"train": 0, "validation": 0}
    assert not config_from_dict(tables).trains
    with pytest.raises(ConfigError, match=f"(?s)2 problems.*{where}") as caught:
        config_from_dict({**tables, **trained})
    assert "data.trajectories.validation: got 0" in str(caught.value)


def test_a_pretrained_model_has_its_own_keys():
    tables = tomllib.loads(SMALLEST.read_text())
    ready = {"name": "ready", "kind": "pretrained", "bundle": "somewhere"}
    config = config_from_dict({**tables, "models": [*tables["models"], ready]})
    assert [model.transfer for model in config.pretrained()] == [False]
    assert config_from_dict(tomllib.loads(config_to_toml(config))) == config
    with pytest.raises(ConfigError, match=r"models\.ready\.bundel: unknown key.*'bundle'"):
        config_from_dict({**tables, "models": [*tables["models"], {**ready, "bundel": "x"}]})


@pytest.mark.parametrize("name", ["../up", "a/b", "/etc", "a\\b", "", ".hidden", "a b"])
@pytest.mark.parametrize("key", ["name", "profile"])
def test_what_names_a_folder_leads_nowhere_else(key, name):
    tables = load_config(SMALLEST).to_dict()
    with pytest.raises(
        ConfigError, match=f"{key}: got {name!r}; must be letters".replace("\\", ".+")
    ):
        config_from_dict(tables | {key: name})


def test_a_profile_that_names_another_folder_is_refused(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(SMALLEST.read_text() + '\n[profiles."../../up"]\nseed = 1\n')
    with pytest.raises(ConfigError, match=r"profile: got '\.\./\.\./up'"):
        load_config(file, "../../up")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"description": "a\x1b]0;title\x07b"}, "description"),
        ({"description": "a\u202eb"}, "description"),
        ({"name": "a\x00b"}, "name"),
        ({"truth": {"system": "qg\x1b[2J"}}, "truth.system"),
        ({"truth": {"constants": {"beta\r": 1.0}}}, r"truth.constants.beta"),
        ({"models": [{"name": "none", "kind": "none", "note": ["\x9b"]}]}, "models.note"),
    ],
)
def test_characters_that_steer_a_terminal_are_refused(changes, key):
    with pytest.raises(ConfigError, match="steer a terminal") as caught:
        config_from_dict(changes)
    assert key in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_description_may_have_lines_and_letters_of_any_language():
    tables = load_config(SMALLEST).to_dict()
    text = "Größe, κ², ночь, 海氷, رياح\n\tsecond line"
    assert config_from_dict(tables | {"description": text}).description == text


def test_a_config_file_of_your_own_may_be_a_link(tmp_path):
    (tmp_path / "mine.toml").symlink_to(SMALLEST)
    assert load_config(tmp_path / "mine.toml") == load_config(SMALLEST)
