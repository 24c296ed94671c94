"""The section of the separated experiments."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from subgrid.config.kinds import MULTISCALE
from subgrid.config.networks import require_trainable, require_trusted, traced
from subgrid.config.section import Parts, check, keyed, naming
from subgrid.config.training import Trained
from subgrid.errors import ShapeError

if TYPE_CHECKING:
    from subgrid.config.settings import Config
    from subgrid.systems import AbstractSystem


class SeparatedConfig(Trained):
    """A network for the separated experiments of Otness, Zanna & Bruna 2025.

    It is trained anew for every task (see `subgrid.nn.SEPARATED_TASKS`) and every pair of coarse
    sizes, each time `seeds` times, and scored offline. `training` changes single settings of
    [training].
    """

    named: ClassVar[Mapping[str, str]] = {"network": "network"}
    cited: ClassVar[tuple[str, ...]] = MULTISCALE

    network: str

    def channels(self, task: str, coarse: "AbstractSystem") -> tuple[int, int]:
        """Return how many channels its network sees and returns: "buildup" sees forcings too."""
        from subgrid.closures import channel_count

        channels = channel_count(coarse)
        return 2 * channels if task == "buildup" else channels, channels

    def build_network(self, task: str, coarse: "AbstractSystem", key: Any) -> Any:
        """Return the untrained network of a task."""
        from subgrid.nn import build

        seen, out = self.channels(task, coarse)
        return build(self.network, in_channels=seen, out_channels=out, key=key, width=self.width)

    @check
    def _fits(self, config: "Config", key: str) -> Iterator[str]:
        times = [one.name for one in (*config.models, *config.separated)].count(self.name)
        if times > 1:
            yield (
                f"separated: the name {self.name!r} is used {times} times; every model and every "
                "separated network needs its own"
            )
        if len(config.coarse.sizes) < 2:
            yield (
                f"coarse.sizes: got {list(config.coarse.sizes)}; the separated experiments compare "
                "scales: at least two are needed"
            )

    def build(self, parts: Parts, key: str) -> None:
        """Trace the network."""
        with naming(key):
            traced(partial(self.build_network, "buildup", parts.coarse[0]))

    def trace(self, parts: Parts, key: str) -> None:
        """Raise unless a network that is not ours maps the channels that it is asked to."""
        import jax

        from subgrid.nn import named_builder

        super().trace(parts, key)
        if named_builder(self.network):
            return
        coarse = parts.coarse[0]
        for task in ("direct", "buildup"):
            (seen, out), shape = self.channels(task, coarse), coarse.domain.shape
            make = partial(self.build_network, task, coarse)
            with keyed(f"{key}.network"):
                sample = jax.ShapeDtypeStruct((seen, *shape), "float32")
                _check(sample.shape, (out, *shape), require_trainable(make, _apply, sample))
            require_trusted(make, self.name, parts)

    def facts(self, config: "Config") -> dict[str, str]:
        """Return what is trained."""
        plan = config.training_of(self)
        return {
            self.name: f"separated experiments: {self.network}, width {self.width:g}, "
            f"{plan.updates} updates, learning rate {plan.learning_rate:g}, {self.seeds} "
            "initialisation(s) per task"
        }


def _apply(network: Any, fields: Any) -> Any:
    return network(fields)


def _check(seen: tuple[int, ...], wanted: tuple[int, ...], found: Any) -> None:
    if found.shape != wanted:
        raise ShapeError(f"the network must map {seen} to {wanted}, but returned {found.shape}")
    if found.dtype.kind != "f":
        raise TypeError(f"the network must return real numbers, but returned {found.dtype}")
