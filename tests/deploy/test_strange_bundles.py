"""Bundles that a stranger made wrong, by accident or not: one kind of error, and nothing runs."""

import copy
import json
import os
import struct

import jax
import jax.numpy as jnp
import pytest

from subgrid import nn
from subgrid.closures import Features, LearnedClosure, Output
from subgrid.deploy import copy_bundle, load_bundle, pretrained, validity, write_bundle
from subgrid.errors import ConfigError, CorruptFileError, UntrustedCodeError
from subgrid.provenance import file_hash, load_arrays
from subgrid.systems import TwoLayerQG

SYSTEM = TwoLayerQG(16)
VALID = validity("qg", SYSTEM, SYSTEM, "operator1")
MARK = "import pathlib; pathlib.Path('ran').touch()"
WRONG = (None, True, -1, 10**400, "text", [1], {}, {"list": 3})


@pytest.fixture
def bundle(tmp_path):
    network = nn.build("4x3-x3", in_channels=2, out_channels=2, key=jax.random.key(0))
    scaler = nn.Scaler(jnp.zeros(2), jnp.ones(2))
    closure = LearnedClosure(Features(scaler=scaler), network, Output(scaler))
    metadata = {"valid_for": VALID, "dt": 3600.0, "truth": {"nx": 32, "ny": 32}}
    write_bundle(closure, tmp_path / "b", metadata=metadata, card="# A closure\n")
    return tmp_path / "b"


def use(folder, system=True):
    """Do with a bundle what a reader does."""
    found = load_bundle(folder)
    found.differences(VALID)
    assert found.card
    assert found.closure is not None
    if system:
        assert found.system() is not None


def places(value, at=()):
    """Yield the path of every value in a JSON document."""
    yield at
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*at, key))


def changed(document, at, value=None, remove=False):
    """Return a document with another value at one place, or without it."""
    document = copy.deepcopy(document)
    if not at:
        return value
    inner = document
    for key in at[:-1]:
        inner = inner[key]
    if remove:
        del inner[at[-1]]
    else:
        inner[at[-1]] = value
    return document


def refused_or_used(folder, forge, document, system):
    """Return whether a bundle of this document is refused; any other error is a failure."""
    forge(folder, document)
    try:
        use(folder, system)
    except (CorruptFileError, ConfigError) as error:
        said = f"{error} {getattr(error, '__notes__', '')}"
    else:
        return False
    assert "model.json" in said or "bundle" in said
    return True


@pytest.mark.parametrize("each", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # constants of no sense, as infinity
def test_every_wrong_value_in_model_json_is_one_kind_of_error(each, bundle, forge):
    """Every place of the document in turn, with values of other kinds, its checksums right.

    `each`: so many places see each value once, the next ones the next values.
    """
    document = json.loads((bundle / "model.json").read_text())
    del document["sha256"]
    refused = tried = 0
    for number, at in enumerate(places(document)):
        system = "valid_for" in at  # what is built of the rest does not change
        for value in WRONG[number % each :: each]:
            tried += 1
            refused += refused_or_used(bundle, forge, changed(document, at, value), system)
        if at:
            refused_or_used(bundle, forge, changed(document, at, remove=True), system)
    assert tried > 500 / each
    assert refused > tried / 2  # most of the places decide something


def test_every_wrong_header_of_the_weights_is_one_kind_of_error(bundle, forge):
    file = bundle / "weights.safetensors"
    data = file.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    first = next(name for name in header if name != "__metadata__")
    for at in [(), *((n, *at) for n in (first, "__metadata__") for at in places(header[n]))]:
        for value in (*WRONG, "F99", "BF16", [10**12], [0, 10**12], [0, 4]):
            made = json.dumps(changed(header, at, value)).encode()
            file.write_bytes(struct.pack("<Q", len(made)) + made + data[8 + length :])

            def sign(document):
                document["weights_sha256"] = file_hash(file)

            forge(bundle, sign)
            with pytest.raises(CorruptFileError, match="weights"):
                use(bundle, system=False)


@pytest.mark.parametrize("content", [b"", b"\0", b"[]", b"null", b"[" * 100_000, b"\xff" * 99])
@pytest.mark.parametrize("name", ["model.json", "weights.safetensors", "card.md"])
def test_other_content_is_one_kind_of_error(name, content, bundle):
    (bundle / name).write_bytes(content)
    if name == "card.md" and content not in (b"", b"\xff" * 99):
        return use(bundle, system=False)  # a text, though a poor one
    if name == "card.md" and content == b"":
        return None
    with pytest.raises(CorruptFileError, match=name):
        use(bundle, system=False)


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors", "card.md"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_odd_files_are_refused_and_not_waited_for(name, kind, bundle, tmp_path):
    file = bundle / name
    file.rename(tmp_path / "elsewhere")
    if kind == "link":
        file.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.mkdir()
    with pytest.raises((CorruptFileError, ConfigError)):  # no model.json: no bundle
        use(bundle, system=False)
    with pytest.raises((CorruptFileError, ConfigError)):
        copy_bundle(load_bundle(bundle), tmp_path / "copy")
    assert not (tmp_path / "copy" / "model.json").exists()


@pytest.mark.parametrize("system", ["cProfile:run", "os:system", "subgrid.systems:TwoLayerQG"])
def test_only_a_known_system_is_called(system, bundle, forge, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def name_it(document):
        valid = document["metadata"]["valid_for"]
        valid["system"], valid["settings"] = system, {"statement": MARK}

    forge(bundle, name_it)
    with pytest.raises(UntrustedCodeError, match=f"valid_for.system = {system!r}"):
        load_bundle(bundle).system()
    assert not (tmp_path / "ran").exists()
    if system == "cProfile:run":
        load_bundle(bundle, trust=True).system()
        assert (tmp_path / "ran").exists()


def test_an_own_class_in_a_bundle_needs_trust(bundle, forge):
    def name_it(document):
        document["structure"]["fields"]["network"] = {"object": "jax.nn:one_hot"}

    forge(bundle, name_it)
    for read in (pretrained, lambda folder: load_bundle(folder).closure):
        with pytest.raises(UntrustedCodeError, match=r"jax\.nn:one_hot"):
            read(bundle)
    with pytest.raises(UntrustedCodeError):
        copy_bundle(load_bundle(bundle), bundle.parent / "copy")
    assert pretrained(bundle, trust=True).network is jax.nn.one_hot
    copy_bundle(load_bundle(bundle, trust=True), bundle.parent / "copy")


def test_wrong_changes_of_the_caller_are_the_callers(bundle):
    with pytest.raises(ConfigError, match="unknown constant of TwoLayerQG 'betta'"):
        load_bundle(bundle).system(betta=1.0)


def test_weights_that_claim_more_than_the_memory_are_refused_unread(bundle):
    with open(bundle / "weights.safetensors", "ab") as stream:
        stream.truncate(2**43)  # a hole of 8 TB takes no space
    with pytest.raises(CorruptFileError, match=r"weights\.safetensors has 8796093022208 bytes"):
        use(bundle, system=False)
    with pytest.raises(CorruptFileError, match="more than"):
        load_arrays(bundle / "weights.safetensors")
