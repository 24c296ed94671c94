"""The increment without its smallest scales."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from subgrid.closures.output import AbstractConstraint, plane_of
from subgrid.errors import ConfigError
from subgrid.grids import low_pass
from subgrid.numbers import positive_number


def _share(value: Any) -> float:
    return positive_number("share", value)


class ScaleCut(AbstractConstraint):
    """Leaves out all scales beyond `share` of the Nyquist wavenumber (`subgrid.grids.low_pass`).

    Where a model's filter damps, the network need not predict: neither the increment nor what is
    learned of a target has these scales. The wavenumber is that of the closure's own grid, on the
    coarser grids of a cascade too. Raises ValueError unless `share` is positive and finite.
    """

    share: float = eqx.field(converter=_share, static=True)

    @classmethod
    def for_system(cls, system: Any, **arguments: Any) -> "ScaleCut":
        """Return the constraint; raises ConfigError if no wave of the plane is left to learn."""
        made, longest = cls(**arguments), max(plane_of(system, "cut").shape)
        if not 2 / longest <= made.share < 1:
            raise ConfigError(
                f"share: got {made.share:g}; must be at least {2 / longest:.3g}, or no wave of "
                f"{longest} cells is left to learn, and below 1"
            )
        return made

    @property
    def in_words(self) -> str:
        """What it does."""
        return f"no scales beyond {self.share:g} of the Nyquist wavenumber"

    def reachable(self, target: Float[Array, "channel y x"]) -> Float[Array, "channel y x"]:
        """Return the target without these scales."""
        return low_pass(target, self.share)

    def check_sizes(self, sizes: Sequence[int]) -> None:
        """Raise ConfigError if the coarser sizes of a cascade hold all scales that are left."""
        coarser = max(sizes[1:], default=0)
        if coarser >= self.share * sizes[0]:
            raise ConfigError(
                f"share: got {self.share:g}, but size {coarser} of {sizes[0]} holds all these "
                "scales already, and the last network would have none to add; take coarser sizes "
                "or a single scale"
            )

    def __call__(
        self, values: Float[Array, "channel y x"], fields: Float[Array, "channel m n"]
    ) -> Float[Array, "channel y x"]:
        """Return the values without these scales."""
        return low_pass(values, self.share * (fields.shape[-1] / values.shape[-1]))
