"""Your own data to a tested closure, in memory: no store, no config, no run folder."""

import jax
import matplotlib.pyplot as plt
import xarray as xr

import subgrid
from subgrid.closures import Features, LearnedClosure, Output
from subgrid.data import MemorySamples
from subgrid.nn import build
from subgrid.systems import Lorenz96
from subgrid.training import Adam, Constant, Plan, train_offline

# your data: states x of the model and x_forcing, what its tendency lacks there [member, time, k]
data = xr.open_zarr("lorenz96.zarr", consolidated=False).load()
train, validation, test = (data.isel(member=m) for m in (slice(0, 8), slice(8, 10), slice(10, 18)))

# learn: a network that sees five sites and is the same at each
network = build("32x5-x1", in_channels=1, out_channels=1, key=jax.random.key(0), spatial_dims=1)
samples = [MemorySamples(part, space=["k"]) for part in (train, validation)]
plan = Plan(Adam(Constant(3e-3)), updates=500, batch_size=64, validate_every=100)
untrained = LearnedClosure(Features(), network, Output())  # standardised by the data
learned = train_offline(untrained, *samples, plan, folder="trained", seed=0)

# test: forecasts from states that it has not seen, with and without it
system, steps = Lorenz96(K=8, J=0), test.sizes["time"] - 1
truth, runs = test[["x"]].isel(time=slice(1, None)), {}
for name, closure in {"none": None, "network": learned.closure}.items():
    model = system.model(0.05, closure)
    forecast = jax.vmap(lambda x, model=model: subgrid.rollout(model, system.State(x), steps))
    runs[name] = truth.copy(data=jax.device_get({"x": forecast(test["x"][:, 0].values).states.x}))
table = subgrid.compare(runs, truth, baseline="none", domain=["k"])
print(table["skilful_lead_mean"].sel(quantity="x", end="estimate").squeeze().to_series())

for name, run in runs.items():
    plt.plot(truth.time, ((run - truth).x ** 2).mean(("member", "k")) ** 0.5, label=name)
plt.gca().set(xlabel="lead time", ylabel="error of x")
plt.legend()
plt.savefig("errors.png")
