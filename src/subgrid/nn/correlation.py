"""Periodic cross-correlation as one bilinear operation, fast in both directions on CPUs.

    out[o, n, y, x] = Σ_{c, i, j} w[i, j, c, o] in[c, n, y + i - p, x + j - p],   p = (k - 1)/2

with indices modulo the grid, channels first and the samples n of a batch second. It is a primitive
of JAX with rules of its own: linear in field and in weights, its transposes are a correlation with
the mirrored kernel and a sum over grid points. So forward and reverse mode of any order stay in the
forms below, where automatic differentiation of shifts would make slow code (and where the gradient
of XLA's own convolution on CPUs falls to a few GFLOP/s inside `scan`, jax-ml/jax#12868).

On CPUs each tap (i, j) is a shift and a matrix product over channels, and shifts commute with
products. The k² taps become one product with shifted copies of the field side by side before it
(gathered) or with shifted pieces of the product summed after it (scattered), on each axis as one
likes; what is chosen moves least per grid point. The field is padded once, so that every shift is a
slice. A batch is one larger product, or many where that falls out of the cache. On other devices it
is `jax.lax.conv_general_dilated`, whose float32 products follow `jax_default_matmul_precision`: on
recent NVIDIA GPUs the default rounds the factors to TF32.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

_TOGETHER = 2**22  # numbers moved for a batch; more of them (16 MiB) are slower than one by one

_correlation = Primitive("periodic_correlation")
_weight_sum = Primitive("periodic_correlation_weights")


def correlate(
    field: Float[Array, "in n y x"], weight: Float[Array, "k k in out"]
) -> Float[Array, "out n y x"]:
    """Return the periodic cross-correlation of every sample; k is odd.

    Raises TypeError where field and weights differ in precision.
    """
    return _correlation.bind(field, weight)


def sum_over_points(
    field: Float[Array, "in n y x"], towards: Float[Array, "out n y x"], taps: int
) -> Float[Array, "k k in out"]:
    """Return Σ_{n, y, x} field[c, n, y + i - p, x + j - p] towards[o, n, y, x] for each tap (i, j).

    The transpose of `correlate` in its weights: what they get in a gradient.
    """
    return _weight_sum.bind(field, towards, taps=taps)


def correlate_by_products(
    field: Float[Array, "in n y x"], weight: Float[Array, "k k in out"]
) -> Float[Array, "out n y x"]:
    """Return the correlation by a matrix product over channels and taps."""
    if _fits(field, weight.shape[0], weight.shape[3]):
        return _correlate_together(field, weight)

    def one(sample: Array) -> Array:
        return _correlate_together(sample[:, None], weight)[:, 0]

    return jnp.moveaxis(jax.lax.map(one, jnp.moveaxis(field, 1, 0)), 0, 1)


def sum_by_products(
    field: Float[Array, "in n y x"], towards: Float[Array, "out n y x"], taps: int
) -> Float[Array, "k k in out"]:
    """Return the sum over grid points by a matrix product."""
    if _fits(field, taps, len(towards)):
        return _sum_together(field, towards, taps)

    def add(total: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
        return total + _sum_together(pair[0][:, None], pair[1][:, None], taps), None

    start = jnp.zeros((taps, taps, len(field), len(towards)), field.dtype)
    return jax.lax.scan(add, start, (jnp.moveaxis(field, 1, 0), jnp.moveaxis(towards, 1, 0)))[0]


def correlate_by_convolution(
    field: Float[Array, "in n y x"], weight: Float[Array, "k k in out"]
) -> Float[Array, "out n y x"]:
    """Return the correlation by `jax.lax.conv_general_dilated`."""
    layout = ("CNHW", "HWIO", "CNHW")
    padded = _pad(field, weight.shape[0])
    return jax.lax.conv_general_dilated(padded, weight, (1, 1), "VALID", dimension_numbers=layout)


def sum_by_convolution(
    field: Float[Array, "in n y x"], towards: Float[Array, "out n y x"], taps: int
) -> Float[Array, "k k in out"]:
    """Return the sum over grid points as a convolution whose kernel is `towards`."""
    layout = ("NCHW", "OIHW", "HWNC")  # samples are the channels of this one, channels its samples
    padded = _pad(field, taps)
    return jax.lax.conv_general_dilated(padded, towards, (1, 1), "VALID", dimension_numbers=layout)


def _correlate_together(
    field: Float[Array, "in n y x"], weight: Float[Array, "k k in out"]
) -> Float[Array, "out n y x"]:
    taps, _, inputs, out = weight.shape
    padded, (one, both, neither) = _pad(field, taps), _moved(taps, inputs, out)
    if both == min(one, both, neither):
        return _product(weight.reshape(-1, out), _gather(_gather(padded, 3, taps), 2, taps))
    if one <= neither:
        matrix = weight.transpose(1, 2, 0, 3).reshape(taps * inputs, taps * out)
        return _scatter(_product(matrix, _gather(padded, 3, taps)), 2, taps)
    matrix = weight.transpose(2, 0, 1, 3).reshape(inputs, taps**2 * out)
    return _scatter(_scatter(_product(matrix, padded), 2, taps), 3, taps)


def _sum_together(
    field: Float[Array, "in n y x"], towards: Float[Array, "out n y x"], taps: int
) -> Float[Array, "k k in out"]:
    inputs, out = len(field), len(towards)
    padded, (one, both, neither) = _pad(field, taps), _moved(taps, inputs, out)
    if both == min(one, both, neither):
        sums = _inner(_gather(_gather(padded, 3, taps), 2, taps), towards)
        return sums.reshape(taps, taps, inputs, out)
    if one <= neither:
        sums = _inner(_gather(padded, 3, taps), _embed(towards, 2, taps))
        return sums.reshape(taps, inputs, taps, out).transpose(2, 0, 1, 3)
    sums = _inner(padded, _embed(_embed(towards, 3, taps), 2, taps))
    return sums.reshape(inputs, taps, taps, out).transpose(1, 2, 0, 3)


def _moved(taps: int, inputs: int, out: int) -> tuple[int, int, int]:
    """Return numbers moved per grid point: gathered along x alone, along both axes, along neither.

    What is not gathered before the product is scattered after it.
    """
    return taps * (inputs + out), taps**2 * inputs, taps**2 * out


def _fits(field: Float[Array, "in n y x"], taps: int, out: int) -> bool:
    """Return whether a batch is better taken together: a single sample, or few enough numbers."""
    moved = min(_moved(taps, len(field), out)) * math.prod(field.shape[1:])
    return field.shape[1] == 1 or moved <= _TOGETHER


def _pad(field: Array, taps: int) -> Array:
    reach = taps // 2
    return jnp.pad(field, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="wrap")


def _gather(padded: Array, axis: int, taps: int) -> Array:
    """Return the field as every tap along an axis sees it, taps before channels."""
    size = padded.shape[axis] - taps + 1
    return jnp.concatenate(
        [jax.lax.slice_in_dim(padded, tap, tap + size, axis=axis) for tap in range(taps)]
    )


def _scatter(products: Array, axis: int, taps: int) -> Array:
    """Return the sum of what every tap along an axis adds, taps before channels in `products`."""
    size = products.shape[axis] - taps + 1
    parts = jnp.split(products, taps)
    shifted = [
        jax.lax.slice_in_dim(part, tap, tap + size, axis=axis) for tap, part in enumerate(parts)
    ]
    return functools.reduce(jnp.add, shifted)


def _embed(towards: Array, axis: int, taps: int) -> Array:
    """Return copies of a field, between zeros where each tap along an axis had moved it."""
    copies = []
    for tap in range(taps):
        widths = [(0, 0)] * towards.ndim
        widths[axis] = (tap, taps - 1 - tap)
        copies.append(jnp.pad(towards, widths))
    return jnp.concatenate(copies)


def _product(matrix: Float[Array, "a b"], fields: Float[Array, "a n y x"]) -> Array:
    return (matrix.T @ fields.reshape(len(fields), -1)).reshape(-1, *fields.shape[1:])


def _inner(fields: Float[Array, "a n y x"], others: Float[Array, "b n y x"]) -> Array:
    return fields.reshape(len(fields), -1) @ others.reshape(len(others), -1).T


def _mirrored(weight: Float[Array, "k k in out"]) -> Float[Array, "k k out in"]:
    """Return the weights that take an output back to the input."""
    return jnp.flip(weight, (0, 1)).swapaxes(2, 3)


def _check_precision(one: Any, other: Any) -> None:
    if one.dtype != other.dtype:
        raise TypeError(f"a correlation needs one precision, got {one.dtype} and {other.dtype}")


def _shape_of_correlation(field: Any, weight: Any) -> Any:
    _check_precision(field, weight)
    return field.update(shape=(weight.shape[3], *field.shape[1:]))


def _shape_of_sum(field: Any, towards: Any, *, taps: int) -> Any:
    _check_precision(field, towards)
    return field.update(shape=(taps, taps, field.shape[0], towards.shape[0]))


def _batch_correlation(arguments: Any, axes: Any) -> tuple[Array, int]:
    (field, weight), (of_field, of_weight) = arguments, axes
    if of_weight is None:  # more samples
        field = jnp.moveaxis(field, of_field, 1)
        found = correlate(field.reshape(len(field), -1, *field.shape[3:]), weight)
        return found.reshape(len(found), *field.shape[1:]), 1
    if of_field is None:  # more channels out
        weight = jnp.moveaxis(weight, of_weight, 3)
        found = correlate(field, weight.reshape(*weight.shape[:3], -1))
        return found.reshape(*weight.shape[3:], *found.shape[1:]), 0
    pairs = jnp.moveaxis(field, of_field, 0), jnp.moveaxis(weight, of_weight, 0)
    return jax.lax.map(lambda pair: correlate(*pair), pairs), 0


def _batch_sum(arguments: Any, axes: Any, *, taps: int) -> tuple[Array, int]:
    (field, towards), (of_field, of_towards) = arguments, axes
    if of_towards is None:  # more channels in
        field = jnp.moveaxis(field, of_field, 0)
        found = sum_over_points(field.reshape(-1, *field.shape[2:]), towards, taps)
        return found.reshape(taps, taps, *field.shape[:2], -1), 2
    if of_field is None:  # more channels out
        towards = jnp.moveaxis(towards, of_towards, 0)
        found = sum_over_points(field, towards.reshape(-1, *towards.shape[2:]), taps)
        return found.reshape(*found.shape[:3], *towards.shape[:2]), 3
    pairs = jnp.moveaxis(field, of_field, 0), jnp.moveaxis(towards, of_towards, 0)
    return jax.lax.map(lambda pair: sum_over_points(pair[0], pair[1], taps), pairs), 0


def _compiled(function: Any, **options: Any) -> Any:
    """Return what runs a primitive outside of jit: compiled, even where jit is disabled."""
    jitted = jax.jit(function, **options)

    def run(*arguments: Array, **parameters: Any) -> Array:
        with jax.disable_jit(False):
            return jitted(*arguments, **parameters)

    return run


def _register(
    primitive: Primitive, compiled: Any, shape: Any, on_cpu: Any, elsewhere: Any, batch: Any
) -> None:
    primitive.def_impl(compiled)
    primitive.def_abstract_eval(shape)
    batching.primitive_batchers[primitive] = batch
    lower = functools.partial(mlir.lower_fun, multiple_results=False)
    mlir.register_lowering(primitive, lower(elsewhere))
    mlir.register_lowering(primitive, lower(on_cpu), platform="cpu")


_register(
    _correlation,
    _compiled(correlate),
    _shape_of_correlation,
    correlate_by_products,
    correlate_by_convolution,
    _batch_correlation,
)
_register(
    _weight_sum,
    _compiled(sum_over_points, static_argnames="taps"),
    _shape_of_sum,
    sum_by_products,
    sum_by_convolution,
    _batch_sum,
)
# the transposes of each in its first and in its second argument: `towards` has the output's shape
ad.defbilinear(
    _correlation,
    lambda towards, field, weight: correlate(towards, _mirrored(weight)),
    lambda towards, field, weight: sum_over_points(field, towards, weight.aval.shape[0]),
)
ad.defbilinear(
    _weight_sum,
    lambda weight, field, towards, *, taps: correlate(towards, _mirrored(weight)),
    lambda weight, field, towards, *, taps: correlate(field, weight),
)
