"""The pretrained closures of a run: copied into its folder, so that it stays what it was."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from subgrid.closures import holds_closure
from subgrid.config import build_system, cells_of, validity_of
from subgrid.deploy import load_bundle
from subgrid.errors import ConfigError, RunFolderError
from subgrid.experiment.folder import RunFolder


def copies(folder: RunFolder) -> dict[str, Path]:
    """Return the folders of the bundles that a run took over, by the name of the model."""
    return {
        model.name: folder.model(model.name)
        for model in folder.config.pretrained()
        if holds_closure(folder.model(model.name))
    }


def changed_bundles(folder: RunFolder) -> dict[str, str]:
    """Return model → a line, for bundles that are others now than those that the run took over.

    One that is gone or damaged is none, as the run has its copy.
    """
    found = {}
    taken = copies(folder)
    for model in folder.config.pretrained():
        if model.name not in taken:
            continue
        ours = load_bundle(taken[model.name]).checksum
        try:
            now = load_bundle(model.bundle).checksum
        except (ConfigError, OSError):  # CorruptFileError is an OSError
            continue
        if now != ours:
            found[model.name] = (
                f"models.{model.name}: bundle {model.bundle!r} was changed after the run took it "
                f"over (SHA-256 of its model.json: then {ours[:12]}, now {now[:12]})"
            )
    return found


def refuse_changed_bundles(folder: RunFolder) -> None:
    """Raise RunFolderError if a run whose training is not finished began with other bundles.

    After that its copies are all it needs.
    """
    changed = [
        line
        for name, line in changed_bundles(folder).items()
        if not folder.is_done(f"models/{name}")
    ]
    if changed:
        raise RunFolderError(
            f"{'; '.join(changed)}. The stage 'train' of {folder.path} is not finished: restore "
            f"the bundle, take the new one with `subgrid train {folder.path} --force`, or choose "
            "another --out."
        )


def kept_copies(folder: RunFolder) -> list[str]:
    """Return a sentence per bundle that was changed and of which the run uses its copy."""
    return [f"{line}; the run uses its copy." for line in changed_bundles(folder).values()]


def transfer_warnings(folder: RunFolder) -> list[str]:
    """Return what to know of pretrained models, a sentence each for those that have it in common.

    Which bundles were changed since, which models are used where they were not trained for, and
    which are compared with a truth of another grid, whose subgrid forcing is another.
    """
    used = validity_of(folder.config) if folder.config.pretrained() else {}
    cells = cells_of(build_system(folder.config))
    elsewhere: dict[tuple[str, str], list[str]] = {}
    other_truth: dict[str, list[str]] = {}
    for model in folder.config.pretrained():
        taken = load_bundle(folder.model(model.name))
        if differing := taken.differences(used):
            theirs, ours = (
                ", ".join(f"{key} = {pair[side]}" for key, pair in differing.items())
                for side in (0, 1)
            )
            elsewhere.setdefault((theirs, ours), []).append(model.name)
        fine = _truth_cells(taken.metadata)
        if fine not in (None, cells):
            other_truth.setdefault(str(fine), []).append(model.name)
    return [
        *kept_copies(folder),
        *(
            f"{_were(names)} trained for {theirs} and {_is(names)} used on {ours}."
            for (theirs, ours), names in elsewhere.items()
        ),
        *(
            f"{_were(names)} trained with a truth of {fine} cells and {_is(names)} compared with "
            f"one of {cells}."
            for fine, names in other_truth.items()
        ),
    ]


def _were(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'was' if len(names) == 1 else 'were'}"


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def bundle_facts(folder: RunFolder) -> dict[str, str]:
    """Return, for each pretrained model, where it comes from."""
    facts = {}
    for model in folder.config.pretrained():
        taken = load_bundle(folder.model(model.name))
        facts[model.name] = (
            f"bundle {model.bundle}, trained in {taken.metadata.get('experiment', 'unknown')}; "
            f"SHA-256 of its model.json {taken.checksum[:12]}"
        )
    return facts


def _truth_cells(metadata: Mapping[str, Any]) -> str | None:
    """Return the fine grid behind a bundle's training data, or None if the bundle does not say."""
    truth = metadata.get("truth", {})
    if {"nx", "ny"} <= set(truth):  # of bundles made before systems had other domains
        return f"{truth['nx']} x {truth['ny']}"
    return truth.get("cells")
