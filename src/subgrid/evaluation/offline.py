"""Offline scores of a closure: predicted against true subgrid forcing, per sample and pooled.

Everything is computed from one table of sums per sample, `SampleSums`, so that each score has one
definition. Predictions p and truths t are arrays [sample, channel, space] in the same units: space
is the domain's axes, a channel a layer or a variable. Both are divided by `scale`, the standard
deviation of the true forcing per channel, so errors are in units of its variance. ⟨·⟩ is a mean
over pixels, or over samples and pixels.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subgrid.closures import channels_to_state, state_to_channels
from subgrid.errors import ShapeError
from subgrid.evaluation.components import channels_of_system
from subgrid.evaluation.forcing_statistics import (
    forcing_dataset,
    forcing_sums,
    join_forcing_sums,
    pearson,
    skill,
    work_error,
)
from subgrid.evaluation.formats import fixed
from subgrid.evaluation.intervals import ratio
from subgrid.grids import FILTER_BEGINS, AbstractDomain, PeriodicGrid, scaled_wavenumber
from subgrid.systems import state_shapes


@dataclass(frozen=True)
class SampleSums:
    """Holds what the offline scores need of each sample: means over pixels and isotropic spectra.

    Arrays [sample, channel], dimensionless after division by the scale: `error` ⟨(p-t)²⟩,
    `prediction` ⟨p⟩, `truth` ⟨t⟩, `prediction_squared` ⟨p²⟩, `truth_squared` ⟨t²⟩, `product` ⟨p t⟩,
    `error_below` ⟨(Lp-Lt)²⟩, `truth_below` ⟨(Lt)²⟩ with L a low-pass to the scales below the cut;
    arrays [sample, channel, bins]: `prediction_spectrum`, `truth_spectrum`. Samples with a value
    that is not finite are left out, counted in `masked_samples`, the first one numbered in
    `first_masked` (from 0, -1 for none).
    """

    error: NDArray[np.float64]
    prediction: NDArray[np.float64]
    truth: NDArray[np.float64]
    prediction_squared: NDArray[np.float64]
    truth_squared: NDArray[np.float64]
    product: NDArray[np.float64]
    error_below: NDArray[np.float64]
    truth_below: NDArray[np.float64]
    prediction_spectrum: NDArray[np.float64]
    truth_spectrum: NDArray[np.float64]
    masked_samples: int = 0
    first_masked: int = -1

    @property
    def samples(self) -> int:
        """Number of samples, those left out included."""
        return len(self.error) + self.masked_samples


def sample_sums(
    prediction: ArrayLike,
    truth: ArrayLike,
    domain: AbstractDomain,
    scale: ArrayLike = 1.0,
    definition: str = "pyqg-0.4",
    cut: float | None = FILTER_BEGINS,
) -> SampleSums:
    """Return the sums over each sample of predictions and truths [sample, channel, space].

    The last axes are those of the domain; land counts in no mean. `scale`: standard deviation of
    the truth, one value or one per channel. `definition` names the rings of the spectra (see
    `subgrid.grids.isotropic_spectrum`); they are summed, not averaged, and not truncated, as in
    Otness, Zanna & Bruna 2025; a domain without spectra has none. `cut`: share of the Nyquist
    wavenumber up to which scales count as kept by a model, by default where the small-scale filter
    of pyqg begins; of planes, None without a filter. Raises ShapeError where the shapes do not
    match.
    """
    p, t = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    dims = len(domain.dims)
    if p.shape != t.shape or p.ndim != 2 + dims or p.shape[2:] != domain.shape:
        raise ShapeError(
            f"prediction and truth must both be [sample, channel, {', '.join(domain.dims)}] on the "
            f"domain of shape {domain.shape}; got {p.shape} and {t.shape}"
        )
    divisor = np.broadcast_to(np.asarray(scale, np.float64), p.shape[1:2])
    divisor, axes = divisor.reshape(-1, *[1] * dims), tuple(range(2, 2 + dims))
    finite = np.isfinite(p).all(axis=(1, *axes)) & np.isfinite(t).all(axis=(1, *axes))
    p, t = p[finite] / divisor, t[finite] / divisor

    def mean(values: NDArray) -> NDArray:
        if domain.mask is None:
            return values.mean(axis=axes)
        return (values * domain.weights).sum(axis=axes) / domain.weights.sum()

    def below(field: NDArray) -> NDArray:
        if cut is None or not isinstance(domain, PeriodicGrid):
            return np.full_like(field, np.nan)  # no filter acts there
        kept = scaled_wavenumber(domain) <= cut * np.pi
        return np.fft.irfft2(np.fft.rfft2(field) * kept, s=domain.shape)

    return SampleSums(
        error=mean((p - t) ** 2),
        prediction=mean(p),
        truth=mean(t),
        prediction_squared=mean(p**2),
        truth_squared=mean(t**2),
        product=mean(p * t),
        error_below=mean(below(p - t) ** 2),
        truth_below=mean(below(t) ** 2),
        prediction_spectrum=_power_spectrum(p, domain, definition),
        truth_spectrum=_power_spectrum(t, domain, definition),
        masked_samples=int(np.sum(~finite)),
        first_masked=-1 if finite.all() else int(np.argmin(finite)),
    )


def join_sums(parts: Sequence[SampleSums]) -> SampleSums:
    """Return the sums of several batches as one table. Raises ValueError when there is none."""
    if not parts:
        raise ValueError("there are no samples to score: the set is empty")
    joined = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(SampleSums)
        if field.name not in ("masked_samples", "first_masked")
    }
    starts = np.cumsum([0, *(part.samples for part in parts)])
    firsts = [
        int(start) + part.first_masked
        for start, part in zip(starts, parts, strict=False)
        if part.masked_samples
    ]
    masked = sum(part.masked_samples for part in parts)
    return SampleSums(**joined, masked_samples=masked, first_masked=firsts[0] if firsts else -1)


def mse(sums: SampleSums) -> float:
    """Mean squared error over everything, ⟨(p-t)²⟩, in units of the variance of the forcing."""
    return _mean(sums.error)


def relative_l2(sums: SampleSums) -> NDArray[np.float64]:
    """Relative ℓ2 error [sample]: mean over channels of √(⟨(p-t)²⟩ / ⟨t²⟩)."""
    return np.sqrt(ratio(sums.error, sums.truth_squared)).mean(axis=-1)


def pooled_relative_l2(sums: SampleSums) -> float:
    """Relative ℓ2 error of all samples together: ⟨·⟩ over them too, then a mean over channels."""
    return _mean(np.sqrt(ratio(_sample_mean(sums.error), _sample_mean(sums.truth_squared))))


def relative_spectral_l2(sums: SampleSums) -> NDArray[np.float64]:
    """Relative ℓ2 error of each sample's spectrum E: mean over channels of √(Σ(E_p-E_t)²/ΣE_t²)."""
    return _spectral_l2(sums.prediction_spectrum, sums.truth_spectrum).mean(axis=-1)


def pooled_relative_spectral_l2(sums: SampleSums) -> float:
    """Relative ℓ2 error of the power spectrum averaged over samples first; mean over channels."""
    return _mean(
        _spectral_l2(_sample_mean(sums.prediction_spectrum), _sample_mean(sums.truth_spectrum))
    )


def r_squared(sums: SampleSums) -> NDArray[np.float64]:
    """Skill of each channel, R² = 1 - ⟨(p-t)²⟩ / ⟨(t-⟨t⟩)²⟩: 1 perfect, 0 as good as the mean."""
    return skill(*(_sample_mean(mean) for mean in (sums.error, sums.truth, sums.truth_squared)))


def r_squared_below_filter(sums: SampleSums) -> NDArray[np.float64]:
    """Skill of each channel at the scales below the cut of the sums: 1 - ⟨(Lp-Lt)²⟩ / ⟨(Lt)²⟩.

    The forcing of a spectral model has most of its variance at scales that its filter damps after
    every step: R² of the whole says little of what a closure does in a free run.
    """
    return 1 - ratio(_sample_mean(sums.error_below), _sample_mean(sums.truth_below))


def correlation(sums: SampleSums) -> NDArray[np.float64]:
    """Pearson correlation of prediction and truth over samples and pixels, for each channel."""
    squares = sums.prediction_squared, sums.truth_squared
    return pearson(
        *(_sample_mean(m) for m in (sums.prediction, sums.truth, *squares, sums.product))
    )


def r_squared_of_samples(sums: SampleSums) -> NDArray[np.float64]:
    """Skill of each sample over its pixels, as `r_squared` otherwise; array [sample, channel]."""
    return skill(sums.error, sums.truth, sums.truth_squared)


def correlation_of_samples(sums: SampleSums) -> NDArray[np.float64]:
    """Pearson correlation of each sample over its pixels; array [sample, channel]."""
    return pearson(
        sums.prediction, sums.truth, sums.prediction_squared, sums.truth_squared, sums.product
    )


def evaluate_offline(
    closure: Any,
    batches: Iterable[tuple[ArrayLike, ArrayLike]],
    *,
    system: Any,
    scale: ArrayLike,
    key: Any = None,
    progress: Callable[[int], None] | None = None,
) -> Any:
    """Return the offline scores of a closure as an xarray.Dataset.

    `batches` yields pairs (state, forcing) of arrays [sample, channel, space] of the coarse
    `system`, in its units and per time: of two-layer QG the levels of q, of Kolmogorov flow u and
    v. The forcing is the one that is ADDED to the tendency. `scale`: standard deviation of the
    forcing per channel, from the training set. `key`: randomness of a stochastic closure.
    `progress(samples)` is called after each batch.

    The dataset holds `relative_l2`, `relative_spectral_l2` [sample], `mse`, the pooled errors,
    `r_squared`, `r_squared_below_filter`, `correlation` [channel], the last two also of each
    sample, `masked_samples` and `first_masked`; with a `spectral_budget` of the system also what
    `forcing_dataset` returns. The attribute `channels` names them (see `channels_of_system`); skill
    below the filter is that of systems that have one.
    """
    predict, cut = _predictor(closure, system, key), system.filter_begins
    parts, looks, done = [], [], 0
    for state, forcing in batches:
        predicted = predict(state)
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
    return scores.merge(forcing_dataset(join_forcing_sums(looks), system))


def offline_scores(sums: SampleSums) -> Any:
    """Return every offline score of a table of sums as an xarray.Dataset with units and names."""
    import xarray as xr

    values: dict[str, tuple[tuple[str, ...], Any, str]] = {
        "mse": ((), mse(sums), "standardised mean squared error"),
        "relative_l2": (("sample",), relative_l2(sums), "relative l2 error of a sample"),
        "pooled_relative_l2": ((), pooled_relative_l2(sums), "relative l2 error, pooled"),
        "relative_spectral_l2": (
            ("sample",),
            relative_spectral_l2(sums),
            "relative l2 error of a sample's power spectrum",
        ),
        "pooled_relative_spectral_l2": (
            (),
            pooled_relative_spectral_l2(sums),
            "relative l2 error of the mean power spectrum",
        ),
        "r_squared": (("channel",), r_squared(sums), "skill 1 - MSE/variance"),
        "r_squared_below_filter": (
            ("channel",),
            r_squared_below_filter(sums),
            "skill 1 - MSE/variance of the scales below the filter",
        ),
        "correlation": (("channel",), correlation(sums), "Pearson correlation"),
        "r_squared_of_samples": (
            ("sample", "channel"),
            r_squared_of_samples(sums),
            "skill 1 - MSE/variance of a sample",
        ),
        "correlation_of_samples": (
            ("sample", "channel"),
            correlation_of_samples(sums),
            "Pearson correlation of a sample",
        ),
        "masked_samples": ((), sums.masked_samples, "samples left out: not finite"),
        "first_masked": ((), sums.first_masked, "number of the first sample left out, or -1"),
    }
    return xr.Dataset(
        {
            name: (dims, value, {"units": "1", "long_name": text})
            for name, (dims, value, text) in values.items()
        }
    )


def channel_names(scores: Any) -> tuple[str, ...]:
    """Return what `channel` of offline scores stands for: see `channels_of_system`."""
    names = tuple(scores.attrs.get("channels", "").split())
    return names or tuple(str(index + 1) for index in range(scores.sizes["channel"]))


def mean_work_error(sets: "Sequence[Any]") -> str:
    """Return the mean over networks of the error of the energy added; a dash where not known."""
    known = [work_error(data["work_spectrum"].values) for data in sets if "work_spectrum" in data]
    return fixed(np.mean(known)) if known else "-"


def _predictor(closure: Any, system: Any, key: Any) -> Callable[[ArrayLike], NDArray]:
    """Return the jitted closure as a function of stacked channels of states."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    like, dims = state_shapes(system), len(system.domain.dims)

    def increment(closure: Any, fields: jax.Array) -> jax.Array:
        state = channels_to_state(fields, like)
        memory = closure.init(state, key=key)
        return state_to_channels(closure(state, memory)[0], dims)

    batched = eqx.filter_jit(eqx.filter_vmap(increment, in_axes=(None, 0)))
    return lambda stacked: np.asarray(batched(closure, jnp.asarray(stacked)))


def _power_spectrum(field: NDArray, domain: AbstractDomain, definition: str) -> NDArray:
    """Return the power of fields [sample, channel, space] by wavenumber, if there are any."""
    if not domain.has_spectrum:
        return np.zeros((*field.shape[:2], 0))
    options = {"definition": definition, "truncate": False, "average": False}
    if not len(field):  # every sample was masked
        bins, _ = domain.isotropic_spectrum(np.zeros(domain.spectral_shape), **options)
        return np.zeros((*field.shape[:2], len(bins)))
    hats = np.fft.rfftn(field, axes=tuple(range(2, field.ndim)))
    return domain.isotropic_spectrum(np.abs(hats) ** 2 / domain.size**2, **options)[1]


def _spectral_l2(prediction: NDArray, truth: NDArray) -> NDArray:
    return np.sqrt(ratio(((prediction - truth) ** 2).sum(-1), (truth**2).sum(-1)))


def _sample_mean(values: NDArray) -> NDArray[np.float64]:
    """Return the mean over samples, NaN when every sample was masked."""
    return values.mean(axis=0) if len(values) else np.full(values.shape[1:], np.nan)


def _mean(values: NDArray) -> float:
    return float(values.mean()) if values.size else float("nan")
