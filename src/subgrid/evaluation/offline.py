"""Offline scores of a closure: predicted against true subgrid forcing, on held-out states.

Predictions p and truths t are arrays [sample, channel, space] in the same units: space is the
domain's axes, a channel a layer or a variable. Both are divided by `scale`, the standard deviation
of the true forcing per channel, so errors are in units of its variance. ⟨·⟩ is a mean over pixels,
or over samples and pixels.

Two datasets of sums are all that is kept of a batch: `sample_sums` has a row per sample, which
`offline_scores` turns into scores; `forcing_sums` is summed over samples and shows what the
forcing looks like: spectra, work, distribution, maps (`forcing_dataset`), as Perezhogin et al. 2023
(J. Adv. Model. Earth Syst. 15 e2023MS003681) compare and Ross et al. 2023 map them. They are those
of a deterministic closure: spread and residual of an ensemble of predictions are not among them.
"""

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from subgrid.closures import channels_to_state, state_to_channels
from subgrid.errors import ShapeError
from subgrid.evaluation.components import all_components, channels_of_system, components_of_system
from subgrid.grids import FILTER_BEGINS, AbstractDomain
from subgrid.systems import state_shapes

SOURCES = ("prediction", "truth")
EDGES = np.linspace(-5, 5, 71)  # of the distributions' bins, in standard deviations of the truth
_RINGS = {"definition": "pyqg-0.4", "truncate": False, "average": False}
_LONG_NAMES = {
    "mse": "standardised mean squared error",
    "relative_l2": "relative l2 error of a sample",
    "pooled_relative_l2": "relative l2 error, pooled",
    "relative_spectral_l2": "relative l2 error of a sample's power spectrum",
    "pooled_relative_spectral_l2": "relative l2 error of the mean power spectrum",
    "r_squared": "skill 1 - MSE/variance",
    "r_squared_below_filter": "skill 1 - MSE/variance of the scales below the filter",
    "correlation": "Pearson correlation",
    "r_squared_of_samples": "skill 1 - MSE/variance of a sample",
    "correlation_of_samples": "Pearson correlation of a sample",
    "masked_samples": "samples left out: not finite",
    "first_masked": "number of the first sample left out, or -1",
    "forcing_spectrum": "power spectrum of the forcing",
    "cross_layer_spectrum": "cospectrum of the forcing",
    "work_spectrum": "energy added by the forcing",
    "work_error": "relative error of the energy added",
    "forcing_density": "probability density of the forcing",
    "r_squared_map": "skill of a pixel over samples",
    "correlation_map": "correlation of a pixel",
}
_SPECTRA = {"forcing_spectrum": "power", "cross_layer_spectrum": "cross", "work_spectrum": "work"}
_UNITS = {"forcing_spectrum": "m", "cross_layer_spectrum": "m", "work_spectrum": "m3 s-3"}


def evaluate_offline(
    closure: Any,
    batches: Iterable[tuple[ArrayLike, ...]],
    *,
    system: Any,
    scale: ArrayLike,
    key: Any = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Return the offline scores of a closure.

    `batches` yields (state, forcing) of arrays [sample, channel, space] of the coarse `system`, in
    its units and per time: of two-layer QG the levels of q, of Kolmogorov flow u and v; for a
    system that is driven from outside also the times [sample]. The forcing is the one that is ADDED
    to the tendency. `scale`: standard deviation of the forcing per channel, from the training set.
    `key`: randomness of a stochastic closure. `progress(samples)` is called after each batch.

    The dataset holds the `offline_scores`, those below the filter only of a system that has one,
    and with a `spectral_budget` of the system what `forcing_dataset` returns. The attribute
    `channels` names the channels (see `channels_of_system`).
    """
    predict, parts, looks, done = _predictor(closure, system, key), [], [], 0
    for state, forcing, *times in batches:
        predicted, cut = predict(state, *times), system.filter_begins
        parts.append(sample_sums(predicted, forcing, system.domain, scale, cut=cut))
        if hasattr(system, "spectral_budget"):
            looks.append(forcing_sums(state, predicted, forcing, system, scale))
        done += len(np.asarray(forcing))
        if progress is not None:
            progress(done)
    scores = offline_scores(join_sums(parts))
    scores = scores.assign_attrs(channels=" ".join(channels_of_system(system)))
    if system.filter_begins is None:
        scores = scores.drop_vars("r_squared_below_filter")
    if not looks:
        return scores
    return scores.merge(forcing_dataset(functools.reduce(operator.add, looks), system))


def sample_sums(
    prediction: ArrayLike,
    truth: ArrayLike,
    domain: AbstractDomain,
    scale: ArrayLike = 1.0,
    definition: str = "pyqg-0.4",
    cut: float | None = FILTER_BEGINS,
) -> xr.Dataset:
    """Return means over pixels and spectra of each sample of p and t [sample, channel, space].

    Dimensionless [sample, channel]: `error` ⟨(p-t)²⟩, `prediction` ⟨p⟩, `truth` ⟨t⟩,
    `prediction_squared` ⟨p²⟩, `truth_squared` ⟨t²⟩, `product` ⟨p t⟩, `error_below` ⟨(Lp-Lt)²⟩,
    `truth_below` ⟨(Lt)²⟩ with L the scales up to `cut`, a share of the Nyquist wavenumber: by
    default where the small-scale filter of pyqg begins (NaN with None, and where the domain knows
    no scales); [sample, channel, bin]: `prediction_spectrum`, `truth_spectrum`, whose rings have a
    `definition` (see `subgrid.grids.isotropic_spectrum`) and are summed, not averaged and not
    truncated, as in Otness, Zanna & Bruna 2025; without bins on a domain without spectra. A sample
    with a value that is not finite is NaN, and not `finite` [sample].

    The last axes are those of the domain; land counts in no mean. `scale`: one value or one per
    channel. Raises ShapeError where the shapes do not match.
    """
    p, t = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    dims = len(domain.dims)
    if p.shape != t.shape or p.ndim != 2 + dims or p.shape[2:] != domain.shape:
        raise ShapeError(
            f"prediction and truth must both be [sample, channel, {', '.join(domain.dims)}] on the "
            f"domain of shape {domain.shape}; got {p.shape} and {t.shape}"
        )
    space = tuple(range(2, 2 + dims))
    kept = (np.isfinite(p) & np.isfinite(t)).all(axis=(1, *space), keepdims=True)
    p, t = (_scaled(np.where(kept, x, np.nan), scale, dims) for x in (p, t))

    def mean(values: NDArray) -> NDArray:
        if domain.mask is None:
            return values.mean(axis=space)
        return (values * domain.weights).sum(axis=space) / domain.weights.sum()

    def below(field: NDArray) -> NDArray:
        return np.full_like(field, np.nan) if cut is None else domain.larger_scales(field, cut)

    def spectrum(field: NDArray) -> NDArray:
        if not domain.has_spectrum:
            return np.zeros((*field.shape[:2], 0))
        power = np.abs(np.fft.rfftn(field, axes=space)) ** 2 / domain.size**2
        return domain.isotropic_spectrum(power, **_RINGS | {"definition": definition})[1]

    means = {
        "error": mean((p - t) ** 2),
        "prediction": mean(p),
        "truth": mean(t),
        "prediction_squared": mean(p**2),
        "truth_squared": mean(t**2),
        "product": mean(p * t),
        "error_below": mean(below(p - t) ** 2),
        "truth_below": mean(below(t) ** 2),
        "prediction_spectrum": spectrum(p),
        "truth_spectrum": spectrum(t),
        "finite": np.ravel(kept),
    }
    return xr.Dataset(
        {name: (("sample", "channel", "bin")[: x.ndim], x) for name, x in means.items()}
    )


def join_sums(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return the sums of several batches as one table. Raises ValueError when there is none."""
    if not parts:
        raise ValueError("there are no samples to score: the set is empty")
    return xr.concat(parts, "sample")


def offline_scores(sums: xr.Dataset) -> xr.Dataset:
    """Return every offline score of a table of `sample_sums`, with units and names.

    `mse` ⟨(p-t)²⟩ of everything. Relative errors √(⟨(p-t)²⟩ / ⟨t²⟩) and, of power spectra E,
    √(Σ(E_p-E_t)² / ΣE_t²), means over channels: of each sample `relative_l2` and
    `relative_spectral_l2`, and of all samples together, ⟨·⟩ and E being means over them too,
    `pooled_relative_l2` and `pooled_relative_spectral_l2`. For each channel the skill `r_squared`
    1 - ⟨(p-t)²⟩ / ⟨(t-⟨t⟩)²⟩ (1 perfect, 0 as good as the mean, NaN of a constant truth) and the
    Pearson `correlation`; the same over the pixels of each sample as `r_squared_of_samples` and
    `correlation_of_samples`. `r_squared_below_filter` is the skill 1 - ⟨(Lp-Lt)²⟩ / ⟨(Lt)²⟩: the
    forcing of a spectral model has most of its variance at scales that its filter damps after every
    step, so that R² of the whole says little of what a closure does in a free run.

    Samples that are not finite are left out: `masked_samples`, the first numbered `first_masked`.
    """
    finite = sums["finite"].values
    known = sums.drop_vars("finite").isel(sample=np.flatnonzero(finite))
    some = known if finite.any() else sums.drop_vars("finite")  # all NaN, so are its means
    pooled = some.mean("sample", skipna=False)

    def relative(above: xr.DataArray, below: xr.DataArray) -> xr.DataArray:
        roots: Any = np.sqrt(_ratio(above, below))
        return roots.mean("channel", skipna=False)

    def spectral(of: xr.Dataset) -> xr.DataArray:
        ours, theirs = of.prediction_spectrum, of.truth_spectrum
        squares = (x.sum("bin", skipna=False) for x in ((ours - theirs) ** 2, theirs**2))
        return relative(*squares)

    def correlation(of: xr.Dataset) -> xr.DataArray:
        squares = of.prediction_squared, of.truth_squared
        return _pearson(of.prediction, of.truth, *squares, of.product)

    return _described(
        {
            "mse": some.error.mean(skipna=False),
            "relative_l2": relative(known.error, known.truth_squared),
            "pooled_relative_l2": relative(pooled.error, pooled.truth_squared),
            "relative_spectral_l2": spectral(known),
            "pooled_relative_spectral_l2": spectral(pooled),
            "r_squared": _skill(pooled.error, pooled.truth, pooled.truth_squared),
            "r_squared_below_filter": 1 - _ratio(pooled.error_below, pooled.truth_below),
            "correlation": correlation(pooled),
            "r_squared_of_samples": _skill(known.error, known.truth, known.truth_squared),
            "correlation_of_samples": correlation(known),
            "masked_samples": xr.DataArray(int(np.sum(~finite))),
            "first_masked": xr.DataArray(-1 if finite.all() else int(np.argmin(finite))),
        }
    )


def forcing_sums(
    state: ArrayLike, prediction: ArrayLike, truth: ArrayLike, system: Any, scale: ArrayLike = 1.0
) -> xr.Dataset:
    """Return sums over the samples of states and forcings [sample, channel, space] of a system.

    `state` of the coarse `system`, which has a `spectral_budget`; `prediction` and `truth` of its
    forcing, per s; `scale`: standard deviation of the true forcing, one value or one per channel.
    Of `source`, prediction and truth, in units of the scale: `power` [source, channel, *waves]
    Σ|hat|²/M² and `cross` [source, *waves] that of Re(hatᵢ* hatⱼ)/M² of all pairs of channels
    i < j; `counts` [source, channel, value] of values between `EDGES`; per pixel [channel, *space]
    `sums` [source, ...] Σp, Σt, `squares` Σp², Σt², `product` Σpt. `work` [source, *waves] m²/s³:
    Σ of the energy that the forcing adds. `samples`: their number, those left out that are not
    finite. Sums of batches add up. Raises ShapeError where the shapes do not match.
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
    scaled = _scaled(np.stack(forcings), scale, space)
    hats = np.fft.rfftn(scaled, axes=tuple(range(-space, 0))) / domain.size
    cross = np.zeros_like(hats[:, :, 0].real)
    for one, other in itertools.combinations(range(channels), 2):
        cross += (hats[:, :, one].conj() * hats[:, :, other]).real
    counts = [[np.histogram(s[:, i], EDGES)[0] for i in range(channels)] for s in scaled]
    work = [_work(system, jnp.asarray(states), jnp.asarray(forcing)) for forcing in forcings]
    waves = tuple(f"wave_{dim}" for dim in domain.dims)
    return xr.Dataset(
        {
            "samples": ((), int(finite.sum())),
            "power": (("source", "channel", *waves), (np.abs(hats) ** 2).sum(axis=1)),
            "cross": (("source", *waves), cross.sum(axis=1)),
            "counts": (("source", "channel", "value"), np.array(counts, np.float64)),
            "sums": (("source", "channel", *domain.dims), scaled.sum(axis=1)),
            "squares": (("source", "channel", *domain.dims), (scaled**2).sum(axis=1)),
            "product": (("channel", *domain.dims), scaled.prod(axis=0).sum(axis=0)),
            "work": (("source", *waves), np.asarray(work, np.float64)),
        }
    )


def forcing_dataset(sums: xr.Dataset, system: Any) -> xr.Dataset:
    """Return what `forcing_sums` show, with units and names; NaN without any sample.

    Isotropic spectra, whose rings are summed, so that Σ E dκ is a mean square: `forcing_spectrum`
    [source, channel, wavenumber] of each channel, `cross_layer_spectrum` [source, wavenumber] of
    all pairs, ⟨sᵢ sⱼ⟩ over i < j, and `work_spectrum` m³/s³: the energy -Σ δᵢ Re(ψ̂ᵢ* Ŝᵢ)/M² that
    the forcing adds, kinetic and potential, positive where it feeds the flow, with its
    `work_error`. `forcing_density` [source, channel, value]: probability density in units of the
    scale. Skill and correlation of each pixel over the samples: `r_squared_map`, `correlation_map`.
    """
    domain, where = system.domain, all_components(components_of_system(system))
    sums = sums.assign(error=sums.squares.sum("source") - 2 * sums["product"])
    mean = sums / sums.samples.where(sums.samples > 0)
    ours, truth = (mean.isel(source=index) for index in range(len(SOURCES)))
    spectra, wavenumber = {}, np.zeros(0)
    for name, of in _SPECTRA.items():
        wavenumber, values = domain.isotropic_spectrum(mean[of].values, **_RINGS)
        dims = ("source", "channel", "wavenumber")
        spectra[name] = xr.DataArray(values, dims=dims if values.ndim == 3 else dims[::2])
    found = _described(
        {
            **spectra,
            "work_error": work_error(spectra["work_spectrum"]),
            "forcing_density": mean.counts / domain.size / np.diff(EDGES),
            "r_squared_map": _skill(truth.error, truth.sums, truth.squares),
            "correlation_map": _pearson(
                ours.sums, truth.sums, ours.squares, truth.squares, mean["product"]
            ),
        }
    )
    found["cross_layer_spectrum"].attrs["long_name"] += where
    flags = {"flag_values": [0, 1], "flag_meanings": " ".join(SOURCES)}
    ring = {"units": "rad m-1", "long_name": "isotropic wavenumber, centre of the ring"}
    scaled = {"units": "1", "long_name": "forcing in standard deviations of the truth"}
    return found.assign_coords(
        source=("source", np.arange(len(SOURCES)), flags),
        wavenumber=("wavenumber", wavenumber, ring),
        value=("value", (EDGES[1:] + EDGES[:-1]) / 2, scaled),
    )


def work_error(spectra: ArrayLike) -> float:
    """Return the relative error of the energy that the forcing adds, where the true one adds some.

        Σ |W_p - W_t| / Σ W_t   over the wavenumbers with W_t > 0

    of `work_spectrum` W [source, wavenumber], in any unit: 0 is perfect, 1 that of no closure.
    There the unresolved scales feed the resolved ones (backscatter). NaN where the truth adds none.
    """
    predicted, true = np.asarray(spectra)
    adds = true > 0
    total = true[adds].sum()
    return float(np.abs(predicted - true)[adds].sum() / total) if total else float("nan")


def channel_names(scores: xr.Dataset) -> tuple[str, ...]:
    """Return what `channel` of offline scores stands for: see `channels_of_system`."""
    names = tuple(scores.attrs.get("channels", "").split())
    return names or tuple(str(index + 1) for index in range(scores.sizes["channel"]))


def _predictor(closure: Any, system: Any, key: Any) -> Callable[..., NDArray]:
    """Return the jitted closure as a function of stacked channels of states, and their times."""
    like, dims = state_shapes(system), len(system.domain.dims)

    def increment(closure: Any, fields: jax.Array, time: jax.Array) -> jax.Array:
        state = channels_to_state(fields, like)
        memory = closure.init(state, key=key)
        return state_to_channels(closure(state, memory, system.forcing_at(time))[0], dims)

    batched = eqx.filter_jit(eqx.filter_vmap(increment, in_axes=(None, 0, 0)))

    def predict(fields: ArrayLike, times: ArrayLike | None = None) -> NDArray:
        stacked = jnp.asarray(fields)
        when = jnp.zeros(len(stacked)) if times is None else jnp.asarray(times, jnp.float32)
        return np.asarray(batched(closure, stacked, when))

    return predict


@eqx.filter_jit
def _work(system: Any, states: jax.Array, forcings: jax.Array) -> jax.Array:
    """Return the energy that forcings add to states, summed over the samples, [*waves], m²/s³."""
    like = state_shapes(system)
    dtype = jax.tree.leaves(like)[0].dtype

    def of_one(*channels: jax.Array) -> jax.Array:
        state, forcing = (channels_to_state(fields.astype(dtype), like) for fields in channels)
        return system.spectral_budget(state, forcing)["closure"]

    return jax.vmap(of_one)(states, forcings).sum(axis=0)


def _scaled(fields: NDArray, scale: Any, space: int) -> NDArray[np.float64]:
    """Return fields [..., channel, *space] in units of the scale, one or one per channel."""
    divisor = np.broadcast_to(np.asarray(scale, np.float64), fields.shape[-1 - space :][:1])
    return fields / divisor.reshape(-1, *[1] * space)


def _ratio(numerator: xr.DataArray, denominator: xr.DataArray) -> xr.DataArray:
    """Return the quotient, NaN where the denominator is not above zero: it has no meaning there."""
    return numerator / denominator.where(denominator > 0)


def _skill(error: Any, truth: Any, truth_squared: Any) -> xr.DataArray:
    """Return 1 - ⟨(p-t)²⟩ / ⟨(t-⟨t⟩)²⟩ from ⟨(p-t)²⟩, ⟨t⟩ and ⟨t²⟩."""
    return 1 - _ratio(error, truth_squared - truth**2)


def _pearson(p: Any, t: Any, p_squared: Any, t_squared: Any, product: Any) -> xr.DataArray:
    """Return the correlation from ⟨p⟩, ⟨t⟩, ⟨p²⟩, ⟨t²⟩ and ⟨pt⟩; NaN where one is constant."""
    variances = (p_squared - p**2) * (t_squared - t**2)
    return _ratio(product - p * t, np.sqrt(np.maximum(variances, 0)))


def _described(found: dict[str, Any]) -> xr.Dataset:
    """Return scores as a dataset, each with its unit and its name in words."""
    return xr.Dataset(
        {
            name: xr.DataArray(values).assign_attrs(
                units=_UNITS.get(name, "1"), long_name=_LONG_NAMES[name]
            )
            for name, values in found.items()
        }
    )
