"""Times a network of ours against the same network with `lax.conv`, outside and inside a loop.

    python benchmarks/convolution.py [--network small] [--size 64] [--repeats 5] [--batch 8]

Prints a Markdown table: milliseconds per evaluation and GFLOP/s of the forward pass and of the
gradient with respect to weights and input, and the ratio to `lax.conv` (NCHW, as users write it)
measured in the same run, alternating. The best of the repeats counts: others only add noise. A
gradient is counted as three forward passes. `lax.conv` inside a loop is so slow in its gradient
that it is repeated twice only.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from subgrid import nn

LOOP = 3  # evaluations inside one scan


def lax_network(network: nn.ConvNet, field: jax.Array) -> jax.Array:
    """Return the network's output by `lax.conv_general_dilated` on channels-first fields."""
    for index, layer in enumerate(network.layers):
        assert isinstance(layer, nn.Conv2d)
        reach = layer.kernel_size // 2
        padded = jnp.pad(field, ((0, 0), (reach, reach), (reach, reach)), mode="wrap")
        kernel = layer.weight.transpose(3, 2, 0, 1)
        field = jax.lax.conv_general_dilated(padded[None], kernel, (1, 1), "VALID")[0]
        field = field + layer.bias[:, None, None]
        if index < len(network.layers) - 1:
            field = jax.nn.relu(field)
    return field


def own_network(network: nn.ConvNet, field: jax.Array) -> jax.Array:
    return network(field)


def evaluation(apply: Callable, gradient: bool) -> Callable:
    """Return the function (network, fields) → scalar that depends on everything to be timed."""

    def batch(network, fields):
        return jax.vmap(lambda field: apply(network, field))(fields)

    def forward(network, fields):
        return jnp.sum(batch(network, fields))

    def pull(network, fields):
        loss = lambda pair: jnp.mean(jnp.square(batch(*pair)))  # noqa: E731
        return sum(jnp.sum(g) for g in jax.tree.leaves(jax.grad(loss)((network, fields))))

    return pull if gradient else forward


def in_loop(function: Callable) -> Callable:
    """Return the function evaluated LOOP times in a scan, each on what the last changed."""

    def run(network, fields):
        def body(fields, _):
            return fields + 1e-20 * function(network, fields), None

        return jnp.sum(jax.lax.scan(body, fields, length=LOOP)[0])

    return run


def seconds(function: Callable, *arguments: Any) -> float:
    start = time.perf_counter()
    function(*arguments).block_until_ready()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--network", default="small")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    keys = jax.random.split(jax.random.key(0))
    network = nn.build(options.network, in_channels=2, out_channels=2, key=keys[0])
    work = nn.flops(network, options.size, options.size)
    print(f"`{options.network}`, {options.size}², {work / 1e9:.2f} GFLOP forward, "
          f"{jax.devices()[0].device_kind}, float32\n")  # fmt: skip
    print("| where | batch | what | ours, ms | GFLOP/s | lax.conv, ms | GFLOP/s | ratio (median) |")
    print("|---|---|---|---|---|---|---|---|")
    for loop, count in ((False, 1), (False, options.batch), (True, 1)):
        fields = jax.random.normal(keys[1], (count, 2, options.size, options.size))
        for gradient in (False, True):
            repeats = 2 if loop and gradient else options.repeats
            print(row(network, fields, loop, gradient, work, repeats), flush=True)


def row(
    network: nn.ConvNet, fields: jax.Array, loop: bool, gradient: bool, work: float, repeats: int
) -> str:
    """Return one line of the table."""
    steps = LOOP if loop else 1
    functions = [
        eqx.filter_jit((in_loop if loop else lambda f: f)(evaluation(apply, gradient)))
        for apply in (own_network, lax_network)
    ]
    for function in functions:
        function(network, fields).block_until_ready()
    pairs = [[seconds(f, network, fields) / steps for f in functions] for _ in range(repeats)]
    best = [min(times) for times in zip(*pairs, strict=True)]
    done = work * len(fields) * (3 if gradient else 1) / 1e9
    middle = statistics.median(theirs / ours for ours, theirs in pairs)
    return (
        f"| {'in scan' if loop else 'alone'} | {len(fields)} "
        f"| {'gradient' if gradient else 'forward'} "
        + "".join(f"| {1e3 * t:.1f} | {done / t:.0f} " for t in best)
        + f"| {best[1] / best[0]:.1f} ({middle:.1f}) |"
    )


if __name__ == "__main__":
    main()
