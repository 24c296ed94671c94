"""Golden results: what every preset gives at `tiny`, to find out which change moves a number.

    python tests/golden/golden.py --runs DIR [PRESET ...]            runs them and compares
    python tests/golden/golden.py --runs DIR [PRESET ...] --write    keeps what it found instead

Run `--write` only with a change that the changelog explains under "Numerics". A file `PRESET.json`
per preset holds the commit that made it and, for each array of a store, weight of a model, score
and statistic of a free run, its hash (of the bits) and a few numbers of it, for a difference to
have a size. One worker, float32, on a CPU. Last bits depend on the processor and on the versions of
JAX and NumPy, which the file names: with others, differences of rounding are no surprise.
"""

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from safetensors.numpy import load_file

from subgrid.config import preset_names

FOLDER = Path(__file__).parent
# scores that differ in each run, or say in words what others say in numbers
TIMINGS = ("seconds", "update_seconds", "cost", "verdict", "gflop_per_sample", "channels")
_COORDINATES = ("x", "y", "level", "time", "trajectory", "cells", "wavenumber", "snapshot_time")
_DIGITS = 6
_NUMBERS = 4  # of a score


def facts(run: Path) -> dict[str, dict[str, Any]]:
    """Return what a finished run holds: name → {"sha": of the bits, "numbers": to compare}."""
    found = {}
    for name, values in sorted({**_stores(run), **_weights(run)}.items()):
        numbers = [float(moment(values, dtype=np.float64)) for moment in (np.mean, np.std)]
        found[name] = {"sha": _hash(values), "numbers": numbers}
    return found | _scores(run)


def differences(
    wanted: Mapping[str, Mapping[str, Any]], got: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Yield a line for each result that is gone, new, or of other bits."""
    for name in sorted({*wanted, *got}):
        if name not in got:
            yield f"gone   {name}"
        elif name not in wanted:
            yield f"new    {name}"
        elif wanted[name]["sha"] != got[name]["sha"]:
            one, other = (found[name]["numbers"] for found in (wanted, got))
            largest = max((abs(float(number)) for number in (*one, *other)), default=0)
            apart = [abs(float(a) - float(b)) for a, b in zip(one, other, strict=False) if a != b]
            size = max(apart, default=0) / (largest or 1)
            yield f"other  {name}: its numbers differ by up to {size:.1e} of the largest"


def _stores(run: Path) -> dict[str, np.ndarray]:
    """Return the floating-point arrays of all stores of a run by "store/array"."""
    found = {}
    for path in (*run.glob("data/*.zarr"), *run.glob("evaluation/**/*.zarr")):
        if path.is_dir() and not any(parent.suffix == ".zarr" for parent in path.parents):
            _gather(zarr.open_group(str(path), mode="r"), path.relative_to(run).as_posix(), found)
    return found


def _gather(group: Any, name: str, found: dict[str, np.ndarray]) -> None:
    for key, array in group.arrays():
        if array.dtype.kind in "fiub" and key not in _COORDINATES:
            found[f"{name}/{key}"] = np.asarray(array[...])
    for key, inner in group.groups():
        _gather(inner, f"{name}/{key}", found)


def _weights(run: Path) -> dict[str, np.ndarray]:
    return {
        f"{path.parent.relative_to(run).as_posix()}/{name}": values
        for path in run.glob("models/**/weights.safetensors")
        for name, values in load_file(path).items()
    }


def _scores(run: Path) -> dict[str, dict[str, Any]]:
    """Return the scores of each model and metric: "scores/online/MODEL/METRIC"."""
    file = run / "scores.json"
    if not file.exists():
        return {}
    found = {}
    for name, part in _parts(json.loads(file.read_text()), "scores", depth=3):
        if name.rpartition("/")[2] not in TIMINGS:
            text = json.dumps(_timeless(part), sort_keys=True)
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            found[name] = {"sha": digest, "numbers": list(_numbers(_timeless(part)))[:_NUMBERS]}
    return found


def _parts(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth and isinstance(value, dict):
        for key, part in value.items():
            yield from _parts(part, f"{name}/{key}", depth - 1)
    else:
        yield name, value


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(part) for key, part in value.items() if key not in TIMINGS}
    return [_timeless(part) for part in value] if isinstance(value, list) else value


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def _hash(values: np.ndarray) -> str:
    content = f"{values.dtype}{values.shape}".encode() + np.ascontiguousarray(values).tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _run(preset: str, out: Path) -> None:
    """Run a preset in a folder, or go on with it."""
    command = [sys.executable, "-c", "import sys; from subgrid.cli import main; sys.exit(main())"]
    command += ["run", preset, "--profile", "tiny", "--out", str(out), "--workers", "1"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    environment.pop("XLA_FLAGS", None)
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{out}.log", "ab") as log:
        subprocess.run(command, env=environment, stdout=log, stderr=log, check=True)


def _made(run: Path) -> dict[str, Any]:
    """Return the commit and the versions that a run was made with."""
    tasks = json.loads((run / "manifest.json").read_text())["tasks"].values()
    environments = [task["environment"] for task in tasks]
    commits = sorted({str(one["commit"]) for one in environments})
    return {"commit": ", ".join(commits), "versions": environments[-1]["versions"]}


def _rounded(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the facts with numbers short enough for a file that is committed."""

    def short(number: float) -> float | str:
        return float(f"{number:.{_DIGITS}g}") if math.isfinite(number) else str(number)

    return {
        name: {"sha": one["sha"], "numbers": [short(n) for n in one["numbers"]]}
        for name, one in found.items()
    }


def main() -> int:
    """Run the presets that are asked for; return 1 if a result differs from the kept one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=preset_names())
    parser.add_argument("--runs", type=Path, required=True, help="where the run folders lie")
    parser.add_argument("--write", action="store_true", help="keep what is found")
    options = parser.parse_args()
    moved = False
    for preset in options.presets:
        _run(preset, options.runs / preset)
        got = _rounded(facts(options.runs / preset))
        file = FOLDER / f"{preset}.json"
        if options.write:
            lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in got.items())
            head = json.dumps(_made(options.runs / preset))
            file.write_text(f'{{"made": {head},\n"results": {{\n{lines}\n}}}}\n')
            print(f"{preset}: {len(got)} results kept", flush=True)
            continue
        if not file.exists():
            print(f"{preset}: nothing is kept to compare with; --write keeps it", flush=True)
            continue
        kept = json.loads(file.read_text())
        found = list(differences(kept["results"], got))
        moved = moved or bool(found)
        commit = kept["made"]["commit"]
        print(f"{preset}: {len(found)} of {len(got)} differ from {commit}", flush=True)
        print("".join(f"  {line}\n" for line in found), end="")
    return int(moved)


if __name__ == "__main__":
    sys.exit(main())
