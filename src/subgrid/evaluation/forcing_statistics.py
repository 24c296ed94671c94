"""What the predicted forcing looks like beside the true one: spectra, work, distribution, maps.

Sums over samples, which batches add to; from them what Perezhogin et al. 2023 (J. Adv. Model. Earth
Syst. 15 e2023MS003681) compare offline and Ross et al. 2023 map. For a deterministic closure: the
spread and residual of an ensemble of predictions are not among them.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from subgrid.closures import channels_to_state
from subgrid.errors import ShapeError
from subgrid.evaluation.components import all_components, channels_of_system, components_of_system
from subgrid.evaluation.intervals import ratio
from subgrid.grids import AbstractDomain
from subgrid.systems import state_shapes

SOURCES = ("prediction", "truth")
_BINS, _RANGE = 70, 5.0  # of the distributions, in standard deviations of the truth
EDGES = np.linspace(-_RANGE, _RANGE, _BINS + 1)


@dataclass(frozen=True)
class ForcingSums:
    """Sums over samples [source: prediction p, truth t].

    A channel is a layer, or a variable without layers; [..., l, k] are the axes of spectra of the
    domain, space those of its fields. In units of the scale: `power` [source, channel, l, k]
    Σ|hat|²/M² and `cross` [source, l, k] that of Re(hatᵢ* hatⱼ)/M² of all pairs of channels i < j;
    `counts` [source, channel, bin] of values between `EDGES`. Per pixel [channel, space]: `sums`
    [source, ...] Σp, Σt, `squares` Σp², Σt², `product` Σpt. `work` [source, l, k] m²/s³, Σ of the
    energy that the forcing adds. `samples`: their number, those that are not finite left out.
    """

    samples: int
    power: NDArray[np.float64]
    cross: NDArray[np.float64]
    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    product: NDArray[np.float64]
    work: NDArray[np.float64]

    def __add__(self, other: "ForcingSums") -> "ForcingSums":
        """Return the sums over the samples of both."""
        return ForcingSums(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )


def forcing_sums(
    state: ArrayLike, prediction: ArrayLike, truth: ArrayLike, system: Any, scale: ArrayLike = 1.0
) -> ForcingSums:
    """Return the sums over a batch of states and forcings [sample, channel, space] of a system.

    `state` of the coarse `system`, which has a `spectral_budget`; `prediction` and `truth` of its
    forcing, per s; `scale`: standard deviation of the true forcing, one value or one per channel.
    Samples with a value that is not finite are left out. Raises ShapeError where the shapes do not
    match.
    """
    arrays = [np.asarray(array, np.float64) for array in (state, prediction, truth)]
    domain, channels = system.domain, len(channels_of_system(system))
    space = len(domain.dims)
    shape = (len(arrays[0]), channels, *domain.shape)
    if any(array.shape != shape for array in arrays):
        raise ShapeError(
            "state, prediction and truth must be [sample, channel, "
            f"{', '.join(domain.dims)}] = {shape}; got "
            f"{', '.join(str(array.shape) for array in arrays)}"
        )
    finite = np.isfinite(arrays).all(axis=(0, *range(2, 3 + space)))
    states, *forcings = (array[finite] for array in arrays)
    divisor = np.broadcast_to(np.asarray(scale, np.float64), (channels,))
    scaled = np.stack(forcings) / divisor.reshape(-1, *[1] * space)
    hats = np.fft.rfftn(scaled, axes=tuple(range(-space, 0))) / domain.size
    cross = np.zeros_like(hats[:, :, 0].real)
    for one, other in itertools.combinations(range(channels), 2):
        cross += (hats[:, :, one].conj() * hats[:, :, other]).real
    return ForcingSums(
        samples=int(finite.sum()),
        power=(np.abs(hats) ** 2).sum(axis=1),
        cross=cross.sum(axis=1),
        counts=np.array(
            [[np.histogram(s[:, i], EDGES)[0] for i in range(channels)] for s in scaled], np.float64
        ),
        sums=scaled.sum(axis=1),
        squares=(scaled**2).sum(axis=1),
        product=scaled.prod(axis=0).sum(axis=0),
        work=np.stack([_work(system, states, forcing) for forcing in forcings]),
    )


def r_squared_map(sums: ForcingSums) -> NDArray[np.float64]:
    """Skill of each pixel over the samples, 1 - ⟨(p-t)²⟩ / ⟨(t-⟨t⟩)²⟩; array [channel, space]."""
    error = sums.squares.sum(axis=0) - 2 * sums.product
    return skill(*(_mean(total, sums) for total in (error, sums.sums[1], sums.squares[1])))


def correlation_map(sums: ForcingSums) -> NDArray[np.float64]:
    """Pearson correlation of each pixel over the samples; array [channel, space]."""
    return pearson(*(_mean(total, sums) for total in (*sums.sums, *sums.squares, sums.product)))


def power_spectra(
    sums: ForcingSums, domain: AbstractDomain
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Isotropic power spectra of prediction and truth: wavenumbers, [source, channel, wavenumber].

    Rings are summed: Σ E dκ is the mean square of the forcing, dimensionless.
    """
    return _isotropic(_mean(sums.power, sums), domain)


def cross_layer_spectra(
    sums: ForcingSums, domain: AbstractDomain
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Isotropic cospectra of all pairs of channels: wavenumbers, [source, wavenumber].

    Σ E dκ = Σ ⟨sᵢ sⱼ⟩ over i < j.
    """
    return _isotropic(_mean(sums.cross, sums), domain)


def work_spectra(
    sums: ForcingSums, domain: AbstractDomain
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energy that each source's forcing adds: wavenumbers, [source, wavenumber], m³/s³.

    -Σ δᵢ Re(ψ̂ᵢ* Ŝᵢ)/M², kinetic and potential; positive where the forcing feeds the flow.
    """
    return _isotropic(_mean(sums.work, sums), domain)


def work_error(spectra: NDArray[np.float64]) -> float:
    """Relative error of the energy that the forcing adds, where the true one adds some.

        Σ |W_p - W_t| / Σ W_t   over the wavenumbers with W_t > 0

    of `work_spectra` W [source, wavenumber], in any unit: 0 is perfect, 1 that of no closure. There
    the unresolved scales feed the resolved ones (backscatter). NaN where the truth adds none.
    """
    predicted, true = spectra
    adds = true > 0
    total = true[adds].sum()
    return float(np.abs(predicted - true)[adds].sum() / total) if total else float("nan")


def densities(sums: ForcingSums) -> NDArray[np.float64]:
    """Probability densities of values in units of the scale; array [source, channel, bin]."""
    cells = sums.product[0].size
    return _mean(sums.counts, sums) / cells / np.diff(EDGES)


def forcing_dataset(sums: ForcingSums, system: Any) -> Any:
    """Return all of these as an xarray.Dataset with units and names, NaN without any sample."""
    import xarray as xr

    domain, where = system.domain, all_components(components_of_system(system))
    wavenumber, power = power_spectra(sums, domain)
    work = work_spectra(sums, domain)[1]
    spectral, maps = ("source", "channel", "wavenumber"), ("channel", *domain.dims)
    values: dict[str, tuple[tuple[str, ...], Any, str, str]] = {
        "forcing_spectrum": (spectral, power, "m", "power spectrum of the forcing"),
        "cross_layer_spectrum": (
            ("source", "wavenumber"),
            cross_layer_spectra(sums, domain)[1],
            "m",
            f"cospectrum of the forcing{where}",
        ),
        "work_spectrum": (("source", "wavenumber"), work, "m3 s-3", "energy added by the forcing"),
        "work_error": ((), work_error(work), "1", "relative error of the energy added"),
        "forcing_density": (
            ("source", "channel", "value"),
            densities(sums),
            "1",
            "probability density of the forcing",
        ),
        "r_squared_map": (maps, r_squared_map(sums), "1", "skill of a pixel over samples"),
        "correlation_map": (maps, correlation_map(sums), "1", "correlation of a pixel"),
    }
    centres = (EDGES[1:] + EDGES[:-1]) / 2
    named = {"units": "rad m-1", "long_name": "isotropic wavenumber, centre of the ring"}
    scaled = {"units": "1", "long_name": "forcing in standard deviations of the truth"}
    flags = {"flag_values": [0, 1], "flag_meanings": " ".join(SOURCES)}
    return xr.Dataset(
        {
            name: (dims, value, {"units": units, "long_name": text})
            for name, (dims, value, units, text) in values.items()
        },
        {
            "source": ("source", np.arange(len(SOURCES)), flags),
            "wavenumber": ("wavenumber", wavenumber, named),
            "value": ("value", centres, scaled),
        },
    )


def join_forcing_sums(parts: Sequence[ForcingSums]) -> ForcingSums:
    """Return the sums of several batches as one. Raises ValueError when there is none."""
    if not parts:
        raise ValueError("there are no samples to score: the set is empty")
    first, *others = parts
    for part in others:
        first += part
    return first


def _mean(total: NDArray, sums: ForcingSums) -> NDArray[np.float64]:
    return total / sums.samples if sums.samples else np.full(total.shape, np.nan)


def _isotropic(
    density: NDArray, domain: AbstractDomain
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return domain.isotropic_spectrum(density, definition="pyqg-0.4", truncate=False, average=False)


@eqx.filter_jit
def _works(system: Any, states: jax.Array, forcings: jax.Array) -> jax.Array:
    """Return the energy that forcings add to states, summed over the samples, [l, k], m²/s³."""
    like = state_shapes(system)
    dtype = jax.tree.leaves(like)[0].dtype

    def of_one(*channels: jax.Array) -> jax.Array:
        state, forcing = (channels_to_state(fields.astype(dtype), like) for fields in channels)
        return system.spectral_budget(state, forcing)["closure"]

    return jax.vmap(of_one)(states, forcings).sum(axis=0)


def _work(system: Any, states: NDArray, forcings: NDArray) -> NDArray[np.float64]:
    return np.asarray(_works(system, jnp.asarray(states), jnp.asarray(forcings)), np.float64)


def skill(
    error: NDArray[np.float64], truth: NDArray[np.float64], truth_squared: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return 1 - ⟨(p-t)²⟩ / ⟨(t-⟨t⟩)²⟩ from ⟨(p-t)²⟩, ⟨t⟩ and ⟨t²⟩; NaN for a constant truth."""
    return 1 - ratio(error, truth_squared - truth**2)


def pearson(
    prediction: NDArray[np.float64],
    truth: NDArray[np.float64],
    prediction_squared: NDArray[np.float64],
    truth_squared: NDArray[np.float64],
    product: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the correlation from ⟨p⟩, ⟨t⟩, ⟨p²⟩, ⟨t²⟩ and ⟨pt⟩; NaN where one is constant."""
    variances = (prediction_squared - prediction**2) * (truth_squared - truth**2)
    return ratio(product - prediction * truth, np.sqrt(np.maximum(variances, 0)))
