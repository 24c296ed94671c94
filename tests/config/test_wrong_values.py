"""Values of a config: every number is checked for kind, finiteness and sense when it is read."""

import tomllib
from pathlib import Path

import pytest

from subgrid.config import config_from_dict, load_config
from subgrid.errors import ConfigError

SMALLEST = Path(__file__).parents[1] / "experiment" / "smallest.toml"
NOISE, COMBINED = ("otness2025-kf-noise", "tiny"), ("otness2025-combined-kf", "tiny")


def refused(source, *overrides):
    """Return the lines with which a config with overrides is refused."""
    with pytest.raises(ConfigError) as caught:
        load_config(*source, overrides=overrides)
    return str(caught.value).split("\n")


# keys that hold a number in some section, and a free table of each kind
NUMBERS = [
    "truth.dt",
    "truth.constants.beta",
    "training.learning_rate",
    "training.epsilon",
    "training.clip_at",
    "training.noise",
    "training.ema",
    "training.clean_fraction",
    "evaluation.dt",
    "evaluation.cut",
    "evaluation.level",
    "evaluation.constants.filter_sharpness",
    "models.smagorinsky.arguments.constant",
    "models.cascade.width",
    "models.cascade.training.noise",
]


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", ["nan", "inf", "1e308"])
def test_numbers_are_finite_and_fit_single_precision(key, value):
    (_, line, *_) = refused((SMALLEST,), f"{key}={value}")
    assert line.startswith(f"  {key}: got {'1e+308' if value == '1e308' else value}; must be ")


@pytest.mark.parametrize("key", [k for k in NUMBERS if k.count(".") == 1])
@pytest.mark.parametrize("value", ["true", "'1.5e-11'", "[1.0]"])
def test_text_booleans_and_lists_are_no_numbers(key, value):
    (_, line, *_) = refused((SMALLEST,), f"{key}={value}")
    assert line.startswith(f"  {key}: got ")
    assert line.endswith("must be a valid number")


def test_numbers_deep_in_tables_of_any_keys_are_named():
    arguments = "models.smagorinsky.arguments={a={b=[1, inf]}, c=nan}"
    variants = "evaluation.variants=[{name='sharp', constants={filter_sharpness=nan}}]"
    lines = refused((SMALLEST,), arguments, variants, "models.cascade.stage_training=[{},{x=inf}]")
    assert lines[1:] == [
        "  models.smagorinsky.arguments.a.b.1: got inf; must be a finite number",
        "  models.smagorinsky.arguments.c: got nan; must be a finite number",
        "  models.cascade.stage_training.1.x: got inf; must be a finite number",
        "  evaluation.variants.sharp.constants.filter_sharpness: got nan; must be a finite number",
    ]


@pytest.mark.parametrize("value", ["1979-05-27", "[1.0]", "{a=1}"])
def test_constants_are_numbers_switches_or_text(value):
    (_, line) = refused((SMALLEST,), f"truth.constants.beta={value}")
    assert line.startswith("  truth.constants.beta: got ")
    assert line.endswith("must be a number, true or false, or text")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluation.bootstrap=1", "evaluation: bootstrap = 1 must be at least 40 at level = 0.95"),
        ("evaluation.bootstrap=39", "bootstrap = 39 must be at least 40"),
        ("evaluation.level=0.99", "bootstrap = 40 must be at least 200 at level = 0.99"),
        ("evaluation.bootstrap=2000000", "evaluation.bootstrap: got 2000000; must be at most"),
        ("evaluation.level=0.05", "evaluation.level: got 0.05; must be at least 0.5"),
        ("truth.dt=1e-320", "truth.dt: got 1e-320; must be 0 or between 1.2e-38 and 3.4e+38"),
        ("truth.nx=1000000000000", "truth.nx: got 1000000000000; must be at most 2147483647"),
        ("training.updates=3000000000", "training.updates: got 3000000000; must be at most"),
        ("truth.spinup_steps=2147483647", "frames * save_every make 2147483659 steps; must be at"),
    ],
)
def test_numbers_make_sense(override, message):
    assert any(message in line for line in refused((SMALLEST,), override))


@pytest.mark.parametrize(
    ("source", "overrides", "message"),
    [
        ((SMALLEST,), ["training.batch_size=6"], "training: batch_size = 6 must be a multiple of"),
        (
            (SMALLEST,),
            ["models.cascade.training={batch_size=6}"],
            "models.cascade.training: batch_size = 6 must be a multiple of chunk = 4",
        ),
        (
            (SMALLEST,),
            ["models.cascade.stage_training=[{}, {chunk=3}]"],
            "models.cascade.stage_training.1: batch_size = 4 must be a multiple of chunk = 3",
        ),
        (
            (SMALLEST,),
            ["recipe=architectures", "search={candidates=['x3'], training={chunk=3}}"],
            "search.training: batch_size = 4 must be a multiple of chunk = 3",
        ),
        (
            (SMALLEST,),
            ["recipe=separated", "separated=[{name='s', network='x3', training={chunk=3}}]"],
            "separated.s.training: batch_size = 4 must be a multiple of chunk = 3",
        ),
        (
            COMBINED,
            [
                "models.large-unrolled.fine_tune.chunk=2",
                "models.large-unrolled.fine_tune.batch_size=3",
            ],
            "models.large-unrolled.fine_tune: batch_size = 3 must be a multiple of chunk = 2",
        ),
        (
            (SMALLEST,),
            ["training.noise=0.1", "training.noise_from=6"],
            "training: noise_from = 6 must be smaller than updates = 6, or noise = 0.1 is never",
        ),
        (
            NOISE,
            ["training.noise_from=2"],
            "calibration.models.single.training: noise_from = 2 must be smaller than updates = 2",
        ),
        (
            (SMALLEST,),
            ["recipe=architectures", "search={candidates=['a:b', 'a-b']}"],
            "search: 4 choices are called 'a-b_a-b'; leave one of the candidates out",
        ),
        (
            (SMALLEST,),
            ["recipe=architectures", f"search={{candidates=['{'64x5-' * 8}x3']}}"],
            "is no name of a model, of 60 characters",
        ),
        (
            (SMALLEST,),
            [
                "recipe=architectures",
                f"search={{candidates={[f'{n}x3-x3' for n in range(1, 102)]}}}",
            ],
            "search.candidates: 101 for each of 2 sizes make more than 10000 choices",
        ),
        (
            (SMALLEST,),
            ["models.finer={kind='grid', size=14, substeps=2147483647}"],
            "models.finer.substeps: times evaluation.steps make 21474836470 steps; must be at most",
        ),
    ],
)
def test_pairs_that_would_fail_late_are_told_first(source, overrides, message):
    if "models.finer" in overrides[0]:
        tables = load_config(*source).to_dict()
        finer = {"name": "finer", "kind": "grid", "size": 14, "substeps": 2147483647}
        tables["models"].append(finer)
        with pytest.raises(ConfigError) as caught:
            config_from_dict(tables)
        lines = str(caught.value).split("\n")
    else:
        lines = refused(source, *overrides)
    assert any(message in line for line in lines), lines


def test_problems_within_sections_do_not_hide_those_between_them():
    overrides = ["seed=-1", "coarse.sizes=[12, 16]", "models.cascade.widht=1.0"]
    overrides += ["evaluation.members=99", "models.stacked.arrangement=multiscale"]
    overrides += ["models.stacked.networks=['x3', 'x3', 'x3']", "training.chunk=3"]
    lines = refused((SMALLEST,), *overrides)
    assert [line.split(":")[0].strip() for line in lines] == [
        f"6 problems in {SMALLEST}",
        "seed",
        "models.cascade.widht",
        "training",
        "coarse.sizes",
        # of [training], which cannot be read, nothing more is said; of other models it is
        "models.stacked.networks",
        "evaluation.members",
    ]


def test_what_depends_on_a_part_that_cannot_be_read_is_not_guessed():
    tables = tomllib.loads(SMALLEST.read_text())
    tables["models"][0] |= {"kind": "non"}
    tables["models"].append({"name": "a", "kind": "adapted", "of": "casc", "output": ["zero-mean"]})
    with pytest.raises(ConfigError) as caught:
        config_from_dict(tables)
    (_, line) = str(caught.value).split("\n")  # neither "0 of kind none" nor what `of` may be
    assert line.startswith("  models.none.kind: got 'non'; must be one of 'none', 'closure'")
    assert "'adapted'" in line


@pytest.mark.parametrize("models", [3, [3], {"a": 1}])
def test_sections_of_another_shape_are_named(models):
    tables = {**tomllib.loads(SMALLEST.read_text()), "models": models}
    with pytest.raises(ConfigError, match=r"models(\.0)?: got "):
        config_from_dict(tables)
