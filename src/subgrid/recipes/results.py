"""What the evaluation stage wrote, read back for the scores and the report."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subgrid.config import BASELINE, Candidate, build_coarse_systems, build_system
from subgrid.data import check_decoded_size, consolidate, fits_in_memory
from subgrid.evaluation import StepCost
from subgrid.experiment.folder import RunFolder
from subgrid.files import read_json
from subgrid.ownership import put_in_place, remove_ours
from subgrid.provenance import aside_of

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Results:
    """Everything the evaluation measured.

    `online`, `offline`: model → one dataset per network; `variants`: the same as `online` for each
    variant of the coarse model; `costs`: see `step_costs`; `cut`: largest wavenumber of the
    spectral errors, rad/m; `system`: the coarse one.
    """

    system: Any
    reference: "xarray.Dataset"
    online: dict[str, list["xarray.Dataset"]]
    variants: dict[str, dict[str, list["xarray.Dataset"]]]
    offline: dict[str, list["xarray.Dataset"]]
    costs: dict[str, StepCost]
    cut: float | None


def load_results(folder: RunFolder) -> Results:
    """Return the results in a run folder whose evaluation has written all its stores.

    Raises FileNotFoundError for one that is missing.
    """
    config = folder.config
    system = build_coarse_systems(config, build_system(config))[0]
    stores = {model.shown: model.labels(config) for model in config.models}
    tested = {model.name for model in config.models if model.closes}

    def online(variant: str | None = None) -> dict[str, list["xarray.Dataset"]]:
        return {
            name: [read_dataset(folder.evaluation / online_path(s, variant)) for s in labels_of]
            for name, labels_of in stores.items()
        }

    offline = {
        name: [read_dataset(folder.evaluation / offline_path(s)) for s in labels_of]
        for name, labels_of in stores.items()
        if name in tested
    }
    return Results(
        system=system,
        reference=read_dataset(folder.evaluation / "reference.zarr"),
        online=online(),
        variants={variant.name: online(variant.name) for variant in config.evaluation.variants},
        offline=offline,
        costs=step_costs(folder, stores),
        cut=config.evaluation.cut * system.domain.nyquist if system.domain.has_spectrum else None,
    )


def candidates(
    folder: RunFolder, coarse_system: Any, models: Iterable[Any] | None = None
) -> list[Candidate]:
    """Return every closure of some models, the learned ones once per seed.

    `models`: those of the config, in its order, unless given.

    Raises CorruptFileError for damaged weights and what a user's own closure raises.
    """
    config = folder.config
    return [
        model.candidate(config, coarse_system, folder, number)
        for model in (config.models if models is None else models)
        for number in range(len(model.labels(config)))
    ]


def step_costs(folder: RunFolder, models: Iterable[str]) -> dict[str, StepCost]:
    """Return the time per step of models, that without a closure among them.

    Ratios are those measured side by side; seconds of different models are of different loads, so
    they are the ratio times those of the coarse model alone.
    """
    timed = {name: read_json(folder.evaluation / cost_path(name)) for name in models}
    alone = timed[BASELINE]["seconds"]
    return {name: StepCost(alone * cost["ratio"], cost["ratio"]) for name, cost in timed.items()}


def online_path(label: str, variant: str | None = None) -> str:
    """Return where, in the evaluation's folder, the free runs of a closure are."""
    return f"online/{label}.zarr" if variant is None else f"online/{variant}/{label}.zarr"


def partial_path(online: str, part: str = "") -> str:
    """Return where, in the evaluation's folder and without ending, unfinished free runs are.

    `online`: see `online_path`; `part`: of the evaluation that they belong to.
    """
    return (Path("partial") / part / online.removeprefix("online/")).with_suffix("").as_posix()


def offline_path(label: str) -> str:
    """Return where, in the evaluation's folder, the offline scores of a closure are."""
    return f"offline/{label}.zarr"


def cost_path(model: str) -> str:
    """Return where, in the evaluation's folder, the time per step of a model is."""
    return f"costs/{model}.json"


def write_dataset(
    path: Path, dataset: "xarray.Dataset", groups: Mapping[str, "xarray.Dataset"] | None = None
) -> None:
    """Write a dataset as a Zarr store, whole or not at all, in place of what is there.

    `groups`: further datasets, by the names of their groups in the store, each read on its own.
    """
    aside = _aside(path)
    for group, one in {"": dataset, **(groups or {})}.items():
        # Zarr has no specification of NumPy's strings of fixed length
        fixed = [name for name, values in one.variables.items() if values.dtype.kind == "U"]
        plain = one.assign({name: one[name].astype(object) for name in fixed})
        plain.to_zarr(aside, group=group or None, mode="a", consolidated=False, zarr_format=3)
    consolidate(aside)
    put_in_place(aside, path)


def _aside(path: Path) -> Path:
    """Return where to write a result, with what a process killed there left removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in list(path.parent.glob(f".{path.name}.subgrid-*")):
        remove_ours(left, lambda _: True)
    return aside_of(path)


def read_dataset(path: Path) -> "xarray.Dataset":
    """Return a dataset that `write_dataset` wrote, in memory.

    Raises CorruptFileError for one that would take more memory than it says, or than there is.
    """
    import xarray

    if path.is_dir():
        check_decoded_size(path, fits_in_memory)
    with xarray.open_zarr(path, consolidated=False, chunks=None) as dataset:
        return dataset.load()
