"""Random streams: every purpose has a name and a tag of its own, so that no two share their draws.

    stream of a purpose = SeedSequence([seed, tag, number])      NumPy: `generator`
                        = fold_in(random_key(seed), tag)         JAX: where the compiled code draws

`random_key` is the one way from a seed to a key of JAX, so that JAX_DEFAULT_PRNG_IMPL and
JAX_RANDOM_SEED_OFFSET change no draw.

The tags are large: `jax.random.split(key)[i]` and `fold_in(key, i)` are the same key, so a small
one would meet the keys that networks split from the same seed. They are not 0 either: a seed
sequence does not tell [seed] from [seed, 0]. Trajectories are tagged in the same way, by the name
of their split (see `subgrid.data.trajectory_key`).
"""

import enum
import zlib
from typing import Any

import numpy as np

from subgrid.numbers import whole_number

LARGEST_SEED = 2**32 - 1


@enum.unique
class Stream(enum.IntEnum):
    """What random numbers are drawn for; the value is the tag, a CRC-32 of the name."""

    SAMPLE_ORDER = zlib.crc32(b"sample order")
    INPUT_NOISE = zlib.crc32(b"input noise")
    VALIDATION_SUBSET = zlib.crc32(b"validation subset")
    STAGE_SCALE = zlib.crc32(b"stage scale")
    INPUT_SCALE = zlib.crc32(b"input scale")
    STARTS = zlib.crc32(b"starts")
    LOSS = zlib.crc32(b"loss")


def random_key(seed: int) -> Any:
    """Return the random key of a seed from 0 to 2³² - 1, of the generator threefry2x32.

    It is that of `jax.random.key` where nobody has changed the settings of JAX.
    """
    import jax  # a config needs no JAX, but the seed's range from here
    import jax.numpy as jnp

    return jax.random.wrap_key_data(
        jnp.asarray(np.array([0, seed], np.uint32)), impl="threefry2x32"
    )


def generator(stream: Stream, seed: int, number: int = 0) -> np.random.Generator:
    """Return the NumPy generator of a purpose; `number` (0 or more) counts its separate draws."""
    return np.random.default_rng([seed, int(stream), number])


def require_seed(seed: Any) -> int:
    """Return the seed as an int; raises ConfigError unless it is a whole number below 2³².

    JAX keeps the last 32 bits of a larger one, so that it would give the keys of another seed.
    """
    return whole_number("seed", seed, least=0, most=LARGEST_SEED)
