"""The physical laws of `subgrid check`: what shipped closures claim, and what breaks it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.closures import (
    CLAIMS,
    CLOSURES,
    EnergyLimit,
    Features,
    LearnedClosure,
    Output,
    ZeroMean,
)
from subgrid.closures.laws import physics_laws
from subgrid.nn import Scaler
from subgrid.systems import KolmogorovFlow, TwoLayerQG

QG, KOLMOGOROV = TwoLayerQG(16), KolmogorovFlow(16)
PV = jnp.array([8e-6, 1e-6])[:, None, None]


@pytest.fixture(scope="module")
def flows():
    """Two systems with two states each, smooth: whole waves of random size and phase."""

    def smooth(key, shape):
        noise = jnp.fft.rfft2(jax.random.normal(key, shape))
        kept = np.outer(abs(np.fft.fftfreq(16)) < 0.2, np.fft.rfftfreq(16) < 0.2)
        field = jnp.fft.irfft2(noise * np.broadcast_to(kept, noise.shape), s=(16, 16))
        return field - jnp.mean(field, axis=(-2, -1), keepdims=True)

    keys = jax.random.split(jax.random.key(7), 4)
    qg = [TwoLayerQG.State(PV * smooth(key, (2, 16, 16))) for key in keys[:2]]
    kf = [KOLMOGOROV.project(KOLMOGOROV.State(*smooth(key, (2, 16, 16)))) for key in keys[2:]]
    return {"qg": (QG, qg), "kolmogorov": (KOLMOGOROV, kf)}


def laws_of(closure, system, states):
    @eqx.filter_jit
    def call(state):
        return closure(state)[0]

    return {law.name: law for law in physics_laws(closure, call, system, states)}


LOCAL = ("polynomial", "wilks-2005", "autoregressive")  # of Lorenz 96: see tests/closures


@pytest.mark.parametrize(
    "name", [name for name in CLOSURES.names() if name not in (*LOCAL, "learned")]
)
def test_shipped_closures_have_what_they_claim(name, flows):
    system, states = flows["kolmogorov" if name.startswith("staggered") else "qg"]
    closure = CLOSURES.get(name)(system)
    assert {"conserves mean", "translation invariant"} <= set(closure.claims) <= set(CLAIMS)
    laws = laws_of(closure, system, states)
    assert not [law for law in laws.values() if law.holds is False]
    for claim in closure.claims:
        assert any(law.holds and claim in law.detail for law in laws.values()), claim
    assert "weights" not in laws


def test_a_negative_viscosity_breaks_the_claim_of_dissipation(flows):
    system, states = flows["kolmogorov"]
    closure = CLOSURES.get("staggered-smagorinsky")(system)

    class Negative(type(closure)):
        def _constant_factor(self):
            return -super()._constant_factor()

    laws = laws_of(Negative(system), system, states)
    assert [name for name, law in laws.items() if law.holds is False] == ["work on energy"]
    assert laws["work on energy"].detail.startswith("gives energy")


class Local(eqx.Module):
    """A network that looks at where it is: it breaks the shift along x, and the mean."""

    def __call__(self, fields):
        return fields * jnp.arange(fields.shape[-1])[None, None] + 1


def test_options_of_a_learned_closure_are_what_it_claims(flows):
    system, states = flows["qg"]
    features = Features(scaler=Scaler([0.0, 0.0], PV[:, 0, 0]))

    def learned(*constraints):
        output = Output(Scaler([0.0, 0.0], [1e-12, 1e-13]), constraints)
        return LearnedClosure(features, Local(), output)

    plain = laws_of(learned(), system, states)
    assert {law.holds for law in plain.values()} == {None}
    assert plain["zero mean"].detail.startswith("is a source of the mean of q")
    assert plain["shift along x"].detail.startswith("does not shift")
    assert plain["shift along y"].detail.startswith("shifts")
    mean = laws_of(learned(ZeroMean()), system, states)
    assert mean["zero mean"].holds
    assert "mean" not in str(learned(ZeroMean(), EnergyLimit(1.0)).claims)


def test_a_system_that_a_closure_would_train_is_told(flows):
    system, states = flows["qg"]

    class Holder(eqx.Module):
        system: TwoLayerQG
        claims = ()

        def __call__(self, state):
            return state, None

    assert "Fixed(system)" in laws_of(Holder(system), system, states)["weights"].detail
