"""One table of the KE-spectrum errors of finished runs that differ in their seed.

Run: python benchmarks/seeds.py RUN [RUN ...]      (run folders of `subgrid run`)
Prints Markdown: per run and model the error of both layers, relative to no closure, blow-ups, and
the commits that made the stages.
"""

import json
import sys
from pathlib import Path

LAYERS = ("upper", "lower")


def row(folder: Path) -> dict[str, dict]:
    return json.loads((folder / "scores.json").read_text())["online"]


def error(score: dict, layer: str) -> float:
    return score["spectral_rmse"][f"kinetic_energy_spectrum_{layer}"]["estimate"]


def cell(score: dict, without: dict) -> str:
    ratios = " / ".join(f"{error(score, x) / error(without, x):.2f}" for x in LAYERS)
    return ratios + (f" ({len(score['blow_ups'])} blew up)" if score["blow_ups"] else "")


def main(folders: list[Path]) -> None:
    runs = [row(folder) for folder in folders]
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    models = [name for name in runs[0] if name != "none"]
    print("| seed | no closure, m³/s² (upper / lower) | " + " | ".join(models) + " |")
    print("|" + "---|" * (2 + len(models)))
    for folder, run, manifest in zip(folders, runs, manifests, strict=True):
        without = run["none"]
        plain = " / ".join(f"{error(without, layer):.3g}" for layer in LAYERS)
        cells = " | ".join(cell(run[name], without) for name in models)
        print(f"| {manifest.get('seed', folder.name)} | {plain} | {cells} |")
    for name in models:
        wins = sum(all(error(run[name], x) < error(run["none"], x) for x in LAYERS) for run in runs)
        lost = sum(len(run[name]["blow_ups"]) for run in runs)
        members = sum(run[name]["members"] for run in runs)
        print(
            f"\n{name}: below no closure in both layers in {wins} of {len(runs)} seeds; "
            f"{lost} of {members} members blew up."
        )
    commits = {
        stage["environment"]["commit"]
        for manifest in manifests
        for stage in manifest["tasks"].values()
    }
    print(f"\nAll stages of all runs were made at commit {', '.join(sorted(map(str, commits)))}.")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
