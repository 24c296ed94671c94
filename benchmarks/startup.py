"""Time to import subgrid and to show its help, each in a fresh process.

Run: python benchmarks/startup.py      Prints a Markdown table: the fastest of several repeats.
"""

import subprocess
import sys
import time

REPEATS = 5
COMMANDS = {
    "import subgrid": ["-c", "import subgrid"],
    "import subgrid.systems, subgrid.closures": ["-c", "import subgrid.systems, subgrid.closures"],
    "subgrid --help": ["-c", "from subgrid.cli import main; main(['--help'])"],
}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    print("| command | s |")
    print("|---|---|")
    for name, arguments in COMMANDS.items():
        print(f"| `{name}` | {min(seconds(arguments) for _ in range(REPEATS)):.2f} |", flush=True)


if __name__ == "__main__":
    main()
