"""The correlation against its definition, the library's own, and the laws it must obey."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgrid.nn import correlation
from subgrid.nn.correlation import (
    correlate,
    correlate_by_convolution,
    correlate_by_products,
    sum_by_convolution,
    sum_by_products,
    sum_over_points,
)

# (channels in, out, kernel): gathered on both axes, on one, scattered on both, and a 1 x 1 kernel
CASES = [(2, 16, 5), (8, 6, 3), (16, 2, 5), (3, 4, 1)]
TOGETHER = {"one product": correlation._TOGETHER, "one by one": 0}


@pytest.fixture(params=TOGETHER)
def together(request, monkeypatch):
    """A batch as one product, and its samples one by one."""
    monkeypatch.setattr(correlation, "_TOGETHER", TOGETHER[request.param])


def draw(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def shifts(field, taps):
    """Yield i, j and field[c, n, y + i - p, x + j - p] with indices modulo the grid."""
    for i in range(taps):
        for j in range(taps):
            yield i, j, np.roll(field, (taps // 2 - i, taps // 2 - j), (2, 3))


def by_definition(field, weight):
    moved = shifts(field, weight.shape[0])
    return sum(np.einsum("co,cnyx->onyx", weight[i, j], seen) for i, j, seen in moved)


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("path", [correlate_by_products, correlate_by_convolution, correlate])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_path_equals_the_definition(path, case, dtype):
    inputs, out, taps = case
    field, weight = draw((inputs, 2, 10, 14)), draw((taps, taps, inputs, out), 1)
    wanted = by_definition(field, weight)
    with jax.enable_x64(dtype == np.float64):
        found = jax.jit(lambda *pair: path(*pair))(*(np.asarray(a, dtype) for a in (field, weight)))
    assert found.dtype == dtype
    # the sums have up to 400 terms of order one: rounding grows to some tens of epsilon
    np.testing.assert_allclose(found, wanted, rtol=0, atol=400 * np.finfo(dtype).eps)


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("path", [sum_by_products, sum_by_convolution, sum_over_points])
@pytest.mark.parametrize("case", CASES)
def test_each_sum_over_points_equals_the_definition(path, case, float64):
    inputs, out, taps = case
    field, towards = draw((inputs, 3, 6, 10)), draw((out, 3, 6, 10), 1)
    wanted = np.zeros((taps, taps, inputs, out))
    for i, j, seen in shifts(field, taps):
        wanted[i, j] = np.einsum("cnyx,onyx->co", seen, towards)
    found = jax.jit(lambda *pair: path(*pair, taps))(field, towards)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)  # 180 terms of order one


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_first_and_second_order_agree_with_the_library(case, float64):
    inputs, out, taps = case
    field, weight = draw((inputs, 2, 6, 8)), draw((taps, taps, inputs, out))
    towards = draw((out, 2, 6, 8), 2)
    at = jnp.asarray(field), jnp.asarray(weight)
    along = jnp.asarray(draw(field.shape, 3)), jnp.asarray(draw(weight.shape, 4))

    def both(path):
        def loss(field, weight):
            return jnp.sum(jnp.sin(path(field, weight)) * towards)

        gradient = jax.grad(loss, (0, 1))
        # forward over reverse, and reverse over reverse
        second = jax.jvp(gradient, at, along)
        again = jax.vjp(gradient, *at)[1](along)
        return second, again

    ours, theirs = (jax.tree.leaves(jax.jit(lambda p=p: both(p))()) for p in PATHS)
    for found, wanted in zip(ours, theirs, strict=True):
        # sums of sums of up to 400 float64 terms of order one
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


PATHS = (correlate, correlate_by_convolution)


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("case", CASES)
def test_batched_gradient_inside_scan_agrees(case, float64):
    """The weight gradient summed over a batch and over the steps of a loop, as in training."""
    inputs, out, taps = case
    fields, weight = jnp.asarray(draw((3, inputs, 6, 8))), draw((taps, taps, inputs, out))

    def loss(path, weight):
        def body(total, scale):
            results = jax.vmap(lambda field: path(scale * field[:, None], weight))(fields)
            return total + jnp.mean(results**3), None

        return jax.lax.scan(body, 0.0, jnp.arange(1.0, 3.0))[0]

    found, wanted = (jax.jit(jax.grad(lambda w, p=p: loss(p, w)))(weight) for p in PATHS)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)  # float64 sums of cubes of one sign


@pytest.mark.parametrize(
    ("of_field", "of_weight"), [(0, None), (2, None), (None, 0), (None, 4), (1, 3)]
)
def test_batches_of_fields_of_weights_and_of_both(of_field, of_weight, float64):
    """Ensembles of networks, gradients per sample: every batch axis, forward and back."""
    field, weight = draw((4, 3, 6, 8)), draw((3, 3, 4, 2), 1)
    fields = field if of_field is None else np.stack([field, 2 * field], of_field)
    weights = weight if of_weight is None else np.stack([weight, weight - 1], of_weight)

    def run(path):
        def one(field, weight):
            return jax.value_and_grad(lambda *a: jnp.sum(path(*a) ** 3), (0, 1))(field, weight)

        return jax.jit(jax.vmap(one, (of_field, of_weight)))(fields, weights)

    ours, theirs = (jax.tree.leaves(run(path)) for path in PATHS)
    for found, wanted in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-9)  # values up to 1e4


@pytest.mark.parametrize("batched", [(True, False), (False, True), (True, True)])
def test_batches_of_sums_over_points(batched, float64):
    field, towards = draw((2, 4, 3, 6, 8)), draw((2, 5, 3, 6, 8), 1)
    axes = tuple(0 if b else None for b in batched)
    pair = [jnp.asarray(a if b else a[0]) for a, b in zip((field, towards), batched, strict=True)]
    found = jax.vmap(lambda f, t: sum_over_points(f, t, 3), axes)(*pair)
    wanted = jax.vmap(lambda f, t: sum_by_convolution(f, t, 3), axes)(*pair)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)  # 144 terms of order one


def test_it_runs_outside_of_jit_and_compiles_once(monkeypatch):
    field, weight = (jnp.asarray(draw(s, 1, np.float32)) for s in ((2, 1, 4, 6), (3, 3, 2, 2)))
    np.testing.assert_allclose(correlate(field, weight), by_definition(field, weight), atol=1e-5)
    traced = []
    monkeypatch.setattr(correlation, "_correlate_together", lambda *a: traced.append(a))
    correlate(field + 1, weight)  # nothing is traced again
    assert not traced


def test_it_runs_where_jit_is_disabled(float64):
    field, weight = jnp.asarray(draw((2, 1, 4, 6))), jnp.asarray(draw((3, 3, 2, 2)))
    with jax.disable_jit():
        found = correlate(field, weight)
        gradient = jax.grad(lambda w: jnp.sum(correlate(field, w)))(weight)
    np.testing.assert_allclose(found, by_definition(field, weight), atol=1e-13)
    # every tap sees the whole periodic field
    wanted = np.broadcast_to(np.sum(field, axis=(1, 2, 3))[None, None, :, None], weight.shape)
    np.testing.assert_allclose(gradient, wanted, atol=1e-12)


def test_two_precisions_are_refused(float64):
    with pytest.raises(TypeError, match="float32 and float64"):
        correlate(jnp.ones((2, 1, 4, 6), jnp.float32), jnp.ones((3, 3, 2, 2)))


@settings(max_examples=12, deadline=None)
@given(
    ny=st.integers(1, 6),
    nx=st.integers(1, 6),
    inputs=st.integers(1, 5),
    out=st.integers(1, 5),
    taps=st.sampled_from([1, 3, 5]),
    seed=st.integers(0, 1000),
)
def test_any_sizes_also_kernels_larger_than_the_grid(ny, nx, inputs, out, taps, seed):
    field = draw((inputs, 1, ny, nx), seed, np.float32)
    weight = draw((taps, taps, inputs, out), seed + 1, np.float32)
    found = jax.jit(correlate_by_products)(field, weight)
    # 125 float32 terms of order one
    np.testing.assert_allclose(found, by_definition(field, weight), rtol=0, atol=1e-4)
