"""Where fields live: what anything above the systems asks of a domain."""

import abc
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subgrid.errors import ConfigError

Coordinates = dict[str, tuple[np.ndarray, dict[str, str]]]  # dimension → values, CF attributes


class AbstractDomain(abc.ABC):
    """The points on which a system has its fields, and what can be said of them.

    Fields are [..., *dims]: the domain's dimensions come last. Domains are constants: frozen, equal
    by value and hashable, so that a system can keep one as a static field.

    `has_spectrum`: whether a field has an isotropic spectrum here. Where it has one, a quantity of
    kind "spectrum" gives a density of shape `spectral_shape`.
    """

    has_spectrum: bool = False

    @property
    @abc.abstractmethod
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions, the slowest first."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of a field."""

    @property
    @abc.abstractmethod
    def periodic(self) -> tuple[bool, ...]:
        """Whether the domain closes on itself, per dimension."""

    @abc.abstractmethod
    def coordinates(self, units: str = "m") -> Coordinates:
        """Return the values and CF attributes of each dimension; `units`: of lengths."""

    @property
    def size(self) -> int:
        """Number of points, those on land included."""
        return math.prod(self.shape)

    @property
    def weights(self) -> NDArray[np.float64]:
        """How much each point counts in a mean: the area of its cell; 0 on land [*dims]."""
        return np.ones(self.shape)

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """Where the system lives [*dims]; None where that is everywhere."""
        return None

    @property
    def spectral_shape(self) -> tuple[int, ...]:
        """Shape of a transformed field and of a spectral density; ConfigError without any."""
        raise ConfigError(f"fields on {type(self).__name__} have no spectrum")

    def isotropic_spectrum(
        self, density: ArrayLike, **options: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return wavenumbers [bins] and spectrum [..., bins] of a density [..., *spectral_shape].

        Raises ConfigError where `has_spectrum` is False.
        """
        raise ConfigError(f"fields on {type(self).__name__} have no spectrum")

    def larger_scales(self, fields: NDArray, share: float) -> NDArray[np.float64]:
        """Return real fields [..., *dims] up to a share of the Nyquist wavenumber.

        NaN where no scales are told apart.
        """
        return np.full_like(fields, np.nan)
