"""Networks of several scales: the residual cascade and its single-scale twin of equal size."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from subgrid.errors import ConfigError, ShapeError
from subgrid.grids.resampling import downscale, upscale
from subgrid.nn.fixed import Fixed, fixed_as
from subgrid.nn.networks import build
from subgrid.numbers import whole_number

Network = Callable[[Array], Array]


def flops(network: Any, *shape: int) -> int:
    """Return the floating-point operations of one forward pass of one sample on (ny, nx) cells.

    Two per multiply-add of the convolutions; activations and resampling are not counted. A gradient
    costs about three times as much. Raises TypeError for a network that does not say its cost.
    """
    if not hasattr(network, "flops"):
        raise TypeError(
            f"{type(network).__name__} does not say what it costs: give it a method "
            "flops(ny, nx) that returns the operations of one sample."
        )
    return network.flops(*shape)


class Cascade(eqx.Module):
    """Predicts the large scales of a field first and builds the smaller ones up on them.

    With D the spectral truncation to a coarser grid, D† the padding back, x the state at high
    resolution and levels j = 0 (coarsest) … J (high resolution):

        S_0 = D[s_0 · net_0(x)]
        S_j = s_j · net_j(D x, D† S_0, …, D† S_{j-1}) + D† S_{j-1}

    where each resampling goes to the grid of level j. S_J is the output. Network 0 works at high
    resolution, network j on the grid of level j; so an intermediate level costs less, by the ratio
    of the grid points, than the last one. Predictions of all levels are in the standardised units
    of the high-resolution target, where the large scales alone can be small (a hundredth of the
    variance from 128² to 64²): the stage scales s_j let a network learn in units of its own. What
    network j has to learn of a truth S is (D S - D† S_{j-1})/s_j: S_{j-1} is what the earlier ones
    predict and not the truth, so that it corrects their errors too.

    `networks` are in the order of evaluation, coarsest first, and carry `in_channels` and
    `out_channels`; network j takes the state's channels and then j · out_channels predictions,
    coarsest first. `sizes` are the points along x of the levels, FINEST FIRST as in a config: (64,
    48, 32); points along y keep the aspect of the input. `scales[level]`, default 1, are constants
    and no weights: no training changes them (`subgrid.nn.Fixed`). After Otness, Zanna & Bruna
    (2025), section 3, here with any number of levels. Raises ConfigError if networks, sizes and
    channels do not fit.
    """

    networks: tuple[Network, ...]
    _scales: Fixed[Float[Array, " level"]] = eqx.field(metadata=fixed_as("scales"))
    sizes: tuple[int, ...] = eqx.field(static=True)
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)

    def __init__(
        self, networks: Sequence[Any], sizes: Sequence[int], scales: ArrayLike | None = None
    ):
        self.networks = tuple(networks)
        self.sizes = tuple(whole_number("size", size) for size in sizes)
        _check_sizes(self.sizes, len(self.networks))
        self.in_channels, self.out_channels = _channels_of(networks[0])
        _check_channels(self.networks, self.in_channels, self.out_channels)
        levels = len(self.sizes)
        self._scales = Fixed(jnp.ones(levels) if scales is None else jnp.asarray(scales))
        if self.scales.shape != (levels,):
            raise ShapeError(f"{levels} levels need {levels} scales, got {self.scales.shape}.")

    def __call__(self, state: Float[Array, "channel y x"]) -> Float[Array, "out y x"]:
        """Return the prediction at high resolution. Raises ShapeError if x is not sizes[0] long."""
        return self.predict(state, len(self.sizes) - 1)

    @property
    def scales(self) -> Float[Array, " level"]:
        """The scale of each stage's output, coarsest first."""
        return self._scales.value

    def with_scale(self, level: int, scale: float) -> "Cascade":
        """Return the cascade with another scale of one stage; the networks are the same."""
        scales = Fixed(self.scales.at[level].set(scale))
        return eqx.tree_at(lambda cascade: cascade._scales, self, scales)

    def stage_size(self, level: int) -> int:
        """Return the points along x of a level, 0 being the coarsest."""
        return self.sizes[len(self.sizes) - 1 - level]

    def predict(self, state: Float[Array, "channel y x"], level: int) -> Float[Array, "out m n"]:
        """Return the prediction S_level on the grid of that level, 0 being the coarsest.

        Differentiable through all stages up to `level`. Raises ShapeError as the call does.
        """
        predictions: list[Array] = []
        for stage in range(level + 1):
            shape, seen = self._shape(state, stage), state  # of the first network at full size
            earlier = [upscale(prediction, *shape) for prediction in predictions]
            if earlier:
                seen = jnp.concatenate([downscale(state, *shape), *earlier])
            output = _applied(self.networks[stage], seen, self.out_channels)
            prediction = downscale(output * self.scales[stage].astype(output.dtype), *shape)
            predictions.append(prediction + earlier[-1] if earlier else prediction)
        return predictions[level]

    def flops(self, ny: int, nx: int) -> int:
        """Return the floating-point operations of the networks for one sample of ny × nx points."""
        grids = [self.sizes[0], *self.sizes[-2::-1]]
        return sum(
            flops(network, ny * size // self.sizes[0], nx * size // self.sizes[0])
            for network, size in zip(self.networks, grids, strict=True)
        )

    def _shape(self, state: Array, level: int) -> tuple[int, int]:
        """Return (ny, nx) of a level for this state; raises ShapeError where it does not fit."""
        ny, nx = state.shape[-2:]
        size = self.stage_size(level)
        rows, remainder = divmod(ny * size, nx)
        if nx != self.sizes[0] or remainder or rows % 2:
            raise ShapeError(
                f"a cascade of sizes {self.sizes} takes states with {self.sizes[0]} points along x "
                f"and an even number of rows at each size, got {ny} × {nx} (y × x)."
            )
        return rows, size


class Stacked(eqx.Module):
    """Adds to a first network's output a second's, which sees the state and that output.

        r_1 = first(x),    r = second([x, r_1]) + r_1

    All at one resolution and trained together: the single-scale twin, of the same number of
    weights, of a cascade of the same two networks. Raises ConfigError if their channels do not fit.
    """

    first: Network
    second: Network
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)

    def __init__(self, first: Any, second: Any):
        self.first, self.second = first, second
        self.in_channels, self.out_channels = _channels_of(first)
        _check_channels((first, second), self.in_channels, self.out_channels)

    def __call__(self, state: Float[Array, "channel y x"]) -> Float[Array, "out y x"]:
        """Return the corrected output of the first network."""
        guess = _applied(self.first, state, self.out_channels)
        seen = jnp.concatenate([state, guess])
        return _applied(self.second, seen, self.out_channels) + guess

    def flops(self, ny: int, nx: int) -> int:
        """Return the floating-point operations of both networks for one sample."""
        return flops(self.first, ny, nx) + flops(self.second, ny, nx)


def build_cascade(
    names: Sequence[str],
    sizes: Sequence[int],
    *,
    state_channels: int,
    out_channels: int,
    key: PRNGKeyArray,
    width: float = 1.0,
) -> Cascade:
    """Return a cascade of networks by name, coarsest first, on `sizes`, finest first.

    `width` multiplies the hidden channels of each. Raises UnknownNameError for an unknown name and
    ConfigError where names and sizes differ in number.
    """
    keys = jax.random.split(key, len(names))
    networks = [
        build(
            name,
            in_channels=state_channels + level * out_channels,
            out_channels=out_channels,
            key=keys[level],
            width=width,
        )
        for level, name in enumerate(names)
    ]
    return Cascade(networks, sizes)


def _check_sizes(sizes: tuple[int, ...], count: int) -> None:
    if count != len(sizes) or count == 0:
        raise ConfigError(f"a cascade needs one network per size, got {count} for sizes {sizes}.")
    falling = all(fine > coarse for fine, coarse in itertools.pairwise(sizes))
    if not falling or any(size < 2 or size % 2 for size in sizes):
        raise ConfigError(f"sizes {sizes}: must be even and fall, finest first, as (64, 48, 32).")


def _applied(network: Network, field: Array, channels: int) -> Array:
    """Return a network's output; raises ShapeError for another shape, which might broadcast."""
    output, wanted = network(field), (channels, *field.shape[-2:])
    if output.shape != wanted:
        raise ShapeError(
            f"{type(network).__name__} must map {field.shape} to {wanted}, but returned "
            f"{output.shape}"
        )
    return output


def _channels_of(network: Any) -> tuple[int, int]:
    """Return how many channels a network takes and returns; raises TypeError if it does not say."""
    try:
        return network.in_channels, network.out_channels
    except AttributeError:
        raise TypeError(
            f"{type(network).__name__} does not say its channels: give it the fields in_channels "
            "and out_channels, as a network among several needs"
        ) from None


def _check_channels(networks: Sequence[Any], state_channels: int, out_channels: int) -> None:
    for level, network in enumerate(networks):
        wanted = (state_channels + level * out_channels, out_channels)
        seen, returned = _channels_of(network)
        if (seen, returned) != wanted:
            raise ConfigError(
                f"network {level} maps {seen} to {returned} channels, "
                f"but here it must map {wanted[0]} to {wanted[1]}: the state's {state_channels} "
                f"and {out_channels} of each earlier network."
            )
