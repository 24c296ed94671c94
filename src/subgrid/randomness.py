"""Random streams: every purpose has a name and a tag of its own, so that no two share their draws.

    stream of a purpose = SeedSequence([seed, tag, number])      NumPy: `generator`
                        = fold_in(key(seed), tag)                JAX: where the compiled code draws

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


def generator(stream: Stream, seed: int, number: int = 0) -> np.random.Generator:
    """Return the NumPy generator of a purpose; `number` (0 or more) counts its separate draws."""
    return np.random.default_rng([seed, int(stream), number])


def require_seed(seed: Any) -> int:
    """Return the seed as an int; raises ConfigError unless it is a whole number below 2³².

    JAX keeps the last 32 bits of a larger one, so that it would give the keys of another seed.
    """
    return whole_number("seed", seed, least=0, most=LARGEST_SEED)
