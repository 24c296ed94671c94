"""The command line: its commands, exit codes and how errors are shown."""

import errno
import hashlib
import io
import os
import sys
import traceback
from pathlib import Path

from cyclopts import App, CycloptsError

from subgrid import __version__
from subgrid.cli.interrupt import Interrupts
from subgrid.files import printable
from subgrid.machine import processor_lines

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130
_LONG_COMMANDS = {"run", "simulate", "train", "evaluate", "report"}  # all in one module

_HELP = """Learn what a model does not resolve: truth, data, closures, online tests, report.

`subgrid run quickstart --profile laptop` does all of it in a few minutes. Running the same command
again goes on where it stopped. `--debug` after any command shows the full traceback of an error.
Exit codes: 0 done, 1 failed, 2 bad usage or config, 130 interrupted.
"""

# the text stands here, not in the command's module, so that `subgrid --help` imports none of them
_COMMANDS = {
    "run": ("Run an experiment from its config to its report, or go on with it.", "Experiment"),
    "simulate": ("Simulate the truth and write the data.", "Experiment"),
    "train": ("Train the learned closures on the data.", "Experiment"),
    "evaluate": ("Test every closure offline and online.", "Experiment"),
    "report": ("Write report.html.", "Experiment"),
    "export": ("Write a trained model of a run as a bundle, for use elsewhere.", "Experiment"),
    "new": ("Write a preset to a file of your own, to change it.", "Help"),
    "list": ("List presets, bundles, systems, closures, networks, recipes, metrics.", "Help"),
    "check": ("Check the laws every closure or system must obey on a class of yours.", "Help"),
    "cite": ("Print the BibTeX of subgrid and of what a run used.", "Help"),
    "doctor": ("Show what subgrid finds on this machine.", "Help"),
}


def build_app() -> App:
    """Return the app; the module of a command is imported when the command is used."""
    app = App(
        name="subgrid",
        version=__version__,
        help=_HELP,
        help_format="markdown",
        suppress_keyboard_interrupt=False,  # `main` says how to go on
    )
    for place, (name, (text, group)) in enumerate(_COMMANDS.items()):
        where = f"run:{name}" if name in _LONG_COMMANDS else f"{name}:command"
        app.command(f"subgrid.cli.{where}", name=name, help=text, group=group, sort_key=place)
    return app


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code; messages go to standard error."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in tokens
    tokens = [token for token in tokens if token != "--debug"]
    _prepare_streams()
    if broken := [token for token in tokens if "\0" in token]:
        _say(f"error: {broken[0]!r} holds a NUL character, which no name or path can hold")
        return BAD_USAGE
    _prepare_jax()
    try:
        with Interrupts():
            result = build_app()(
                tokens, exit_on_error=False, print_error=True, result_action="return_value"
            )
        return result if isinstance(result, int) else DONE
    except CycloptsError:  # cyclopts has printed it
        return BAD_USAGE
    except SystemExit as leaving:  # cyclopts raises none here: a class or a network of the user's
        if debug:
            traceback.print_exc()
        return _tell_exit(leaving)
    except KeyboardInterrupt:
        _say("interrupted. What is finished is kept: run the same command again to go on.")
        return INTERRUPTED
    except BrokenPipeError:  # for example `subgrid list | head -1`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - Python flushes it at exit
        # a stage that could not tell its progress has not finished; a cut list is done
        return FAILED if set(tokens) & _LONG_COMMANDS else DONE
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _explain(error, debug)


def _prepare_streams() -> None:
    """Let a character that the terminal's encoding lacks be shown as its number, never an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _prepare_jax() -> None:
    """Quieten XLA and let it keep compiled programs, which halves the time of a small run.

    Set by the environment, since JAX is not imported yet; a user's own settings win. A program is
    made for the instructions of one processor, so processors do not share a folder.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    lines = processor_lines()
    name = f"jax-{hashlib.sha256(''.join(lines).encode()).hexdigest()[:12]}"
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = base / "subgrid" / name
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a read-only home, or a user without one: compile every time
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


def _explain(error: Exception, debug: bool) -> int:
    """Print an error as one message and return the exit code it stands for."""
    from subgrid.errors import ConfigError, RunFolderError, RunLockedError, SubgridError

    notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", []))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        notes += "\n  What is finished is kept: free some space and run the same command again."
    if isinstance(error, SubgridError | OSError):
        _say(f"error: {error}{notes}")
    else:
        hint = "" if debug else " Add --debug to see where."
        _say(f"error: {type(error).__name__}: {error}{notes}{hint}")
    usage = isinstance(error, ConfigError | RunFolderError)
    return BAD_USAGE if usage and not isinstance(error, RunLockedError) else FAILED


def _tell_exit(leaving: SystemExit) -> int:
    """Say who ended the program; return the code of a failure, whatever code was asked for."""
    where = traceback.extract_tb(leaving.__traceback__)[-1]
    _say(
        f"error: {where.filename}, line {where.lineno}, in {where.name}, asked to end the program "
        f"(SystemExit: {leaving.code}). What is not finished is not done: raise an error there "
        "instead."
    )
    return FAILED


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)
