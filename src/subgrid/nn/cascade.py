"""Networks over several scales: the multiscale cascade, and the stack of equal size at one scale.

    stage 0:  S̃₀ = D₀ net₀(x)                                 the coarsest size, from the finest state
    stage j:  S̃_j = D†S̃_{j-1} + net_j(D_j x, D†S̃₀, …, D†S̃_{j-1})     up to the finest size

x and S are standardised fields at the finest size, D_j and D† the spectral resampling pair of
`subgrid.grids`. Stages are trained one after the other, each on what the frozen earlier ones leave:
the target of stage j is D_j S - D†S̃_{j-1} (Otness, Zanna & Bruna 2025, section 3).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from subgrid.errors import ConfigError, ShapeError
from subgrid.grids import downscale, upscale
from subgrid.nn.catalogue import build
from subgrid.nn.cnn import flops


class Cascade(eqx.Module):
    """A multiscale network: `networks` in the order they are evaluated, the coarsest scale first.

    `sizes`: the sides of the square grids in the order of the stages' results reversed, finest
    first: (64, 48, 32) goes with three networks, whose results live at 32, 48 and 64. Network 0
    works at the finest size and its result is cut to the coarsest; the others work at their own
    size. Network j has state channels + j · out channels in, and the out channels out. `scales`
    [stage] multiplies each network's output, so that it can be trained in units of its own target;
    all 1 is the published form. Cost: the sum over the stages of their network at its size, stage
    0 at the finest. Raises ConfigError for sizes that do not decrease.
    """

    networks: tuple[Any, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)
    scales: Float[Array, " stage"]

    def __init__(
        self,
        networks: tuple[Any, ...],
        sizes: tuple[int, ...],
        scales: Float[Array, " stage"] | None = None,
    ):
        if len(networks) != len(sizes) or not networks:
            raise ConfigError(
                f"a cascade has one network per size, got {len(networks)} and {len(sizes)}"
            )
        if any(fine <= coarse for fine, coarse in zip(sizes, sizes[1:], strict=False)):
            raise ConfigError(f"the sizes of a cascade decrease, finest first, got {sizes}")
        self.networks = tuple(networks)
        self.sizes = tuple(int(size) for size in sizes)
        self.scales = jnp.ones(len(sizes)) if scales is None else scales

    def __call__(self, field: Float[Array, "channel y x"]) -> Float[Array, "out y x"]:
        """Return S̃ at the finest size from the state there."""
        return self.predict(field, len(self.networks) - 1)

    def stage_size(self, stage: int) -> int:
        """Return the side of the grid on which a stage's result lives."""
        return self.sizes[len(self.sizes) - 1 - stage]

    def predict(self, field: Float[Array, "channel y x"], stage: int) -> Float[Array, "out n n"]:
        """Return S̃ of a stage, at its size; the last stage is the cascade's output."""
        return self._predictions(field, stage)[-1]

    def stage_input(
        self, field: Float[Array, "channel y x"], stage: int
    ) -> Float[Array, "more n n"]:
        """Return what a stage's network sees; the earlier stages are held fixed (no gradient)."""
        earlier = self._predictions(field, stage - 1)
        return self._input(field, stage, [jax.lax.stop_gradient(s) for s in earlier])

    def stage_output(
        self, field: Float[Array, "channel y x"], stage: int
    ) -> Float[Array, "out n n"]:
        """Return a stage's own contribution, with gradients to its network only."""
        return self._contribution(self.stage_input(field, stage), stage)

    def stage_target(
        self, forcing: Float[Array, "out y x"], field: Float[Array, "channel y x"], stage: int
    ) -> Float[Array, "out n n"]:
        """Return what a stage's contribution should be: D S minus what the frozen stages predict.

        `forcing`: S at the finest size, in the same standard units as the predictions.
        """
        size = self.stage_size(stage)
        target = downscale(forcing, size, size)
        if stage == 0:
            return target
        return target - jax.lax.stop_gradient(upscale(self.predict(field, stage - 1), size, size))

    def flops(self, ny: int, nx: int) -> int:
        """Return the floating-point operations of one sample, without the transforms."""
        self._check(ny, nx)
        sides = (self.sizes[0], *(self.stage_size(j) for j in range(1, len(self.sizes))))
        return sum(flops(net, n, n) for net, n in zip(self.networks, sides, strict=True))

    def _predictions(self, field: Array, last: int) -> list[Array]:
        self._check(*field.shape[-2:])
        found: list[Array] = []
        for stage in range(last + 1):
            own = self._contribution(self._input(field, stage, found), stage)
            size = self.stage_size(stage)
            found.append(own + upscale(found[-1], size, size) if found else own)
        return found

    def _input(self, field: Array, stage: int, earlier: list[Array]) -> Array:
        if stage == 0:
            return field
        size = self.stage_size(stage)
        return jnp.concatenate(
            [downscale(field, size, size), *(upscale(s, size, size) for s in earlier)]
        )

    def _contribution(self, seen: Array, stage: int) -> Array:
        own = self.networks[stage](seen) * self.scales[stage].astype(seen.dtype)
        size = self.stage_size(stage)
        return downscale(own, size, size)

    def _check(self, ny: int, nx: int) -> None:
        if (ny, nx) != (self.sizes[0], self.sizes[0]):
            raise ShapeError(
                f"this cascade works on {self.sizes[0]} × {self.sizes[0]} grids (sizes "
                f"{self.sizes}), got a field of {ny} × {nx}"
            )


class Stacked(eqx.Module):
    """Two networks at one scale, the second correcting the first: A(x) + B([x, A(x)]).

    The single-scale baseline of a two-stage cascade of the same networks: same number of
    parameters, trained end to end.
    """

    first: Any
    second: Any

    def __call__(self, field: Float[Array, "channel y x"]) -> Float[Array, "out y x"]:
        """Return the output for one sample."""
        guess = self.first(field)
        return guess + self.second(jnp.concatenate([field, guess]))

    def flops(self, ny: int, nx: int) -> int:
        """Return the floating-point operations of one sample."""
        return flops(self.first, ny, nx) + flops(self.second, ny, nx)


def build_cascade(
    names: tuple[str, ...] | list[str],
    sizes: tuple[int, ...] | list[int],
    *,
    state_channels: int,
    out_channels: int,
    key: PRNGKeyArray,
    width: float = 1.0,
) -> Cascade:
    """Return an untrained cascade of named networks, in the order of evaluation (coarsest first).

    ["psm4", "pmd8"] with sizes [64, 48] is the paper's psm4pmd8 at 64←48.
    """
    keys = jax.random.split(key, len(names))
    networks = tuple(
        build(
            name,
            in_channels=state_channels + stage * out_channels,
            out_channels=out_channels,
            key=keys[stage],
            width=width,
        )
        for stage, name in enumerate(names)
    )
    return Cascade(networks, tuple(sizes))
