"""The increment averaged over the mirror images of a state."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from subgrid.closures.features import channel_counts
from subgrid.closures.output import AbstractConstraint
from subgrid.errors import ConfigError
from subgrid.systems import DIAGONAL, AbstractSystem, state_shapes


class Symmetry(AbstractConstraint):
    """Gives a network the symmetries of its system: the image of a state has that of its increment.

        increment = 1/|G| Σ_g g⁻¹ N(g x)

    N is the network with the constraints before this one, G the group that the system's
    `symmetries` span, some mirrors one after another each: of a dimension, about its origin, or of
    the diagonal, which swaps x and y. Two mirrors make a rotation. Velocities along a mirrored
    dimension and pseudoscalars (`Variable.pseudoscalar`) change sign. |G| evaluations of the
    network take the place of one: 2 for a mirror, 8 for all symmetries of a square. The stages of a
    cascade are trained without it; the closure as a whole has it.

    `images`: the elements of G but the identity, the mirrors of each in the order of their action.
    Per channel of a state, `odd`: the mirrors in which it changes sign; `faces`: the dimension
    along which it sits half a cell further than the centre, "" for none; `partners`: the channel
    that the diagonal turns into it.
    """

    dims: tuple[str, ...] = eqx.field(static=True)
    images: tuple[tuple[str, ...], ...] = eqx.field(static=True)
    odd: tuple[tuple[str, ...], ...] = eqx.field(static=True)
    faces: tuple[str, ...] = eqx.field(static=True)
    partners: tuple[int, ...] = eqx.field(static=True)
    claims: ClassVar[tuple[str, ...]] = ("mirror symmetric",)

    @classmethod
    def for_system(cls, system: Any, **arguments: Any) -> "Symmetry":
        """Return the constraint for the symmetries that a system states.

        Raises ConfigError for a system that states none, and for a mirror that its domain lacks.
        """
        if not system.symmetries:
            raise ConfigError(
                f"symmetry averages over the symmetries of a system, and {type(system).__name__} "
                "states none with these settings (AbstractSystem.symmetries)"
            )
        _check_mirrors(system)
        dims = system.domain.dims
        # of velocities each is along a dimension of its own: in the order x, y
        components = dict(zip(system.velocities, reversed(dims), strict=False))
        swapped = dict(zip(system.velocities, reversed(system.velocities), strict=True))
        names = [variable.name for variable in system.variables]
        counts = channel_counts(state_shapes(system), len(dims))
        starts = dict(zip(names, np.cumsum([0, *counts]).tolist(), strict=False))
        odd, faces, partners = [], [], []
        for variable, count in zip(system.variables, counts, strict=True):
            mirrors = {components[variable.name]} if variable.name in components else set()
            if variable.pseudoscalar:
                mirrors ^= {*dims, DIAGONAL}
            partner = starts[swapped.get(variable.name, variable.name)]
            odd += [tuple(sorted(mirrors))] * count
            faces += [{"east": "x", "north": "y"}.get(variable.position, "")] * count
            partners += range(partner, partner + count)
        group = _group(dims, system.symmetries)
        return cls(dims, group, tuple(odd), tuple(faces), tuple(partners), **arguments)

    @property
    def in_words(self) -> str:
        """What it does."""
        return f"the symmetries of the system, by a mean over {1 + len(self.images)} images"

    def around(
        self,
        made: Callable[[Float[Array, "channel *space"]], Float[Array, "channel *space"]],
        fields: Float[Array, "channel *space"],
    ) -> Float[Array, "channel *space"]:
        """Return the mean of what is made of all images, each turned back."""
        total = made(fields)
        for image in self.images:
            # a mirror undoes itself, so that the way back is the same mirrors in reverse
            total = total + self.image(made(self.image(fields, image)), image[::-1])
        return total / (1 + len(self.images))

    def image(
        self, fields: Float[Array, "channel *space"], mirrors: Sequence[str]
    ) -> Float[Array, "channel *space"]:
        """Return the channels of a state seen in some mirrors, one after another."""
        for mirror in mirrors:
            if mirror == DIAGONAL:
                fields = jnp.swapaxes(fields, -1, -2)[np.array(self.partners)]
            else:
                axis = self.dims.index(mirror) - len(self.dims)
                # centres i + ½ go to -(i + ½), faces i + 1 to -(i + 1): one cell further
                flipped = jnp.flip(fields, axis)
                on_faces = self._shaped([face == mirror for face in self.faces])
                further = jnp.roll(flipped, -1, axis) if on_faces.any() else flipped
                fields = jnp.where(on_faces, further, flipped)
            fields = jnp.where(self._shaped([mirror in odd for odd in self.odd]), -fields, fields)
        return fields

    def _shaped(self, flags: Sequence[bool]) -> np.ndarray:
        return np.array(flags).reshape(-1, *[1] * len(self.dims))


def _check_mirrors(system: AbstractSystem) -> None:
    """Raise ConfigError for a mirror that is none of the domain."""
    domain = system.domain
    known = [d for d, periodic in zip(domain.dims, domain.periodic, strict=True) if periodic]
    square = len(known) == 2 and domain.shape[0] == domain.shape[1]
    if square and np.isclose(getattr(domain, "length_x", 0.0), getattr(domain, "length_y", 0.0)):
        known.append(DIAGONAL)
    for mirror in (mirror for symmetry in system.symmetries for mirror in symmetry):
        if mirror not in known:
            raise ConfigError(
                f"{type(system).__name__} states the symmetry {mirror!r}, but the mirrors of its "
                f"domain are {known}"
            )


def _group(dims: Sequence[str], symmetries: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Return all products of symmetries but the identity, as mirrors in the order of action."""
    # as matrices, which tell whether two ways of mirrors end at the same image
    identity = np.eye(len(dims), dtype=int)
    acts = {dim: np.diag([1 - 2 * (dim == other) for other in dims]) for dim in dims}
    acts[DIAGONAL] = identity[::-1]
    found: dict[bytes, tuple[tuple[str, ...], np.ndarray]] = {identity.tobytes(): ((), identity)}
    grown = list(found.values())
    while grown:
        mirrors, matrix = grown.pop()
        for symmetry in symmetries:
            product = matrix
            for mirror in symmetry:
                product = np.ascontiguousarray(acts[mirror] @ product)
            if product.tobytes() not in found:
                found[product.tobytes()] = ((*mirrors, *symmetry), product)
                grown.append(found[product.tobytes()])
    return tuple(mirrors for mirrors, _ in found.values())[1:]
