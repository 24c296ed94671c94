"""The choice of the training noise: every level tried on the validation trajectories.

After figures 9, 10, 12 and 13 of Otness, Zanna & Bruna 2025, who chose by hand, on the test set.
Here a run chooses by itself, on validation trajectories: the level with the fewest runs that blew
up; of those without, the one with the smallest energy error, of the others the one whose runs
follow the truth longest (see `predictability`).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.intervals import Interval, bootstrap_interval, weighted_mean
from subgrid.evaluation.predictability import Predictability, predictability_record
from subgrid.evaluation.report import ReportVerdict
from subgrid.evaluation.verdicts import json_number


@dataclass(frozen=True)
class Level:
    """A model trained with one level of noise: `noise` in standard deviations of the inputs.

    `group`: what the figures show together, its networks; `losses` [network]: offline errors on the
    validation split without noise, in variances of the forcing; `online`: its free runs from
    validation states; `remark`: what is to be said of its trainings.
    """

    model: str
    group: str
    noise: float
    losses: NDArray[np.float64] = field(repr=False)
    online: Predictability
    remark: str = ""

    @property
    def loss(self) -> Interval:
        """The mean offline error with its interval over networks, by the same draws each time."""

        def mean(networks: NDArray, members: NDArray) -> NDArray[np.float64]:
            return weighted_mean(self.losses, networks)

        return bootstrap_interval(mean, len(self.losses), 1, level=self.online.energy_error.level)


@dataclass(frozen=True)
class Calibration:
    """Every level of every model, in their order, and the runs `alone`, without a closure."""

    levels: tuple[Level, ...]
    alone: Predictability

    def of(self, model: str) -> list[Level]:
        """Return the levels of a model."""
        return [level for level in self.levels if level.model == model]

    @property
    def models(self) -> list[str]:
        """The names of the models."""
        return list(dict.fromkeys(level.model for level in self.levels))

    @property
    def chosen(self) -> dict[str, Level]:
        """The level chosen for each model, see `Predictability.rank_key`."""
        return {
            model: min(self.of(model), key=lambda level: level.online.rank_key())
            for model in self.models
        }

    @property
    def summary(self) -> str:
        """The sentence at the head of the report."""
        words = ", ".join(f"{level.noise:g} for {model}" for model, level in self.chosen.items())
        return f"Noise chosen on the validation trajectories, in standard deviations: {words}."

    def verdicts(self) -> tuple[ReportVerdict, ...]:
        """Return what is to be said of the choice for each model."""
        found = []
        for model, level in self.chosen.items():
            online = level.online
            ends = level.noise in (self.of(model)[0].noise, self.of(model)[-1].noise)
            sentence = (
                f"noise {level.noise:g}: energy error {_words(online)} "
                f"(without a closure {_words(self.alone)}), follows the truth "
                f"for {online.decorrelation.estimate:.2f} {online.units} (without: "
                f"{self.alone.decorrelation.estimate:.2f}); {len(online.blow_ups)} of "
                f"{online.runs} runs blew up"
                + ("; the choice is at an end of the levels tried" if ends else "")
            )
            sentence += f". Training: {level.remark}" if level.remark else ""
            found.append(ReportVerdict(model, f"{sentence}.", self._outcome(online)))
        return tuple(found)

    def _outcome(self, online: Predictability) -> str:
        """Return in a word whether the chosen level keeps the energy better than no closure."""
        if online.blow_ups:
            return "unstable"
        better = online.energy_error.estimate < self.alone.energy_error.estimate
        return "better" if better else "unclear"

    def record(self) -> dict[str, Any]:
        """Return what scores.json keeps."""
        return {
            "chosen": {model: level.noise for model, level in self.chosen.items()},
            "chosen_by": "on validation trajectories: fewest blow-ups, then smallest energy error, "
            "or among levels with blow-ups the longest decorrelation time",
            "none": predictability_record(self.alone),
            "levels": [
                {
                    "model": level.model,
                    "noise": level.noise,
                    "validation_error": [json_number(x) for x in level.losses],
                    "online": predictability_record(level.online),
                }
                for level in self.levels
            ],
        }


def _words(one: Predictability) -> str:
    """Return the energy error in words."""
    value = one.energy_error.estimate
    return f"{value:.3f}" if np.isfinite(value) else "unknown"
