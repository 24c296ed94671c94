"""Random streams: different for every purpose, number and seed."""

import jax
import numpy as np
import pytest

from subgrid.errors import ConfigError
from subgrid.randomness import LARGEST_SEED, Stream, generator, require_seed


def test_no_two_streams_of_a_seed_are_equal():
    draws = {
        (stream, number): tuple(generator(stream, 1, number).integers(2**63, size=2))
        for stream in Stream
        for number in (0, 1, 2, 3)
    }
    # what code without tags draws from
    draws |= {entropy: tuple(np.random.default_rng(entropy).integers(2**63, size=2))
              for entropy in (1, (1, 1), (1, 2), (1, 3))}  # fmt: skip
    assert len(set(draws.values())) == len(draws)
    again = generator(Stream.LOSS, 1, 2).integers(2**63, size=2)
    assert tuple(again) == draws[Stream.LOSS, 2]
    assert generator(Stream.LOSS, 2).random() != generator(Stream.LOSS, 1).random()


def test_tags_are_none_that_a_split_gives():
    """fold_in(key, i) is split(key)[i]: a small tag would give the key of some network's layer."""
    key = jax.random.key(1)
    split = np.asarray(jax.random.key_data(jax.random.split(key, 100)))
    folded = np.asarray([jax.random.key_data(jax.random.fold_in(key, i)) for i in range(100)])
    np.testing.assert_array_equal(split, folded)
    assert min(Stream) > 10**6


def test_seeds_are_bounded_where_jax_cuts_them():
    def words(seed):
        return tuple(np.asarray(jax.random.key_data(jax.random.key(seed))).tolist())

    assert words(LARGEST_SEED + 1 + 5) == words(5)  # the reason for the bound
    allowed = (0, 5, 2**31, LARGEST_SEED)
    assert len({words(seed) for seed in allowed}) == len(allowed)
    for seed in allowed:
        require_seed(seed)
    for seed in (-1, LARGEST_SEED + 1, True, 1.0, None):
        with pytest.raises(ConfigError, match=f"seed is {seed}; .* from 0 to {LARGEST_SEED}"):
            require_seed(seed)
