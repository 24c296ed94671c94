"""How figures look: one colour per model for colour-blind readers, panel size, images for a page.

A figure of the report is one or more panels, each an image of its own, so that a page can set them
side by side or, on a telephone, one below the other, with letters that stay legible.
"""

import base64
import contextlib
import functools
import io
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_P = ParamSpec("_P")
_R = TypeVar("_R")

TRUTH, BASELINE = "truth", "none"
PANEL_INCHES = (4.8, 3.6)
PIXELS_PER_INCH = 200
# measured with the sizes of letters below: per inch of a figure, and of a legend's line
_NOTE_LETTERS, _LEGEND_LETTERS, _HANDLE_LETTERS, _LINE_INCHES = 14, 14, 8, 0.19
_LABEL_LETTERS = 36  # of a line of an axis's label, where one line is cut

# Okabe & Ito 2008, without yellow (too pale for lines), then indigo, wine and olive of the "muted"
# ones of Tol (SRON/EPS/TN/09-002); distinct also by dash and marker
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_COLOURS += ("#332288", "#882255", "#999933")
_DASHES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P")
_SETTINGS: Any = {
    "font.size": 10.0,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.0,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.6,
    "image.cmap": "RdBu_r",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


class Look(NamedTuple):
    """How a model is drawn everywhere: colour, dashes, marker, label, drawing order, width."""

    colour: str
    dash: Any
    marker: str
    label: str
    order: float
    width: float = 1.6


Styles = Mapping[str, Look]  # of the models by name


class Panel(NamedTuple):
    """One image of a figure: a short name, the drawing, and a text for those who cannot see it."""

    name: str
    figure: "Figure"
    alt: str


def looks(names: Iterable[str], labels: dict[str, str] | None = None) -> dict[str, Look]:
    """Return the look of the truth (black), no closure (grey) and each model, in their order."""
    labels = {TRUTH: "truth", BASELINE: "no closure", **(labels or {})}
    found = {
        TRUTH: Look("#000000", "-", "*", labels[TRUTH], 2.5, 2.8),
        BASELINE: Look("#767676", (0, (4, 2)), "X", labels[BASELINE], 2.9),
    }
    count = 0
    for name in names:
        if name in found:
            continue
        colour = count % len(_COLOURS)
        other = (colour + count // len(_COLOURS)) % len(_DASHES)  # the same colour, another dash
        found[name] = Look(
            _COLOURS[colour],
            _DASHES[other],
            _MARKERS[other],
            labels.get(name, name),
            3.0 + 0.1 * count,
        )
        count += 1
    return found


def _matplotlib() -> Any:
    """Return matplotlib, whatever backend the environment asks for: figures are drawn without one.

    Matplotlib cannot be imported where MPLBACKEND names one that is not there, as in a process that
    a notebook started under another Python. One that is there is left to the user's own figures.
    """
    if "matplotlib" not in sys.modules and "MPLBACKEND" in os.environ:
        asked = os.environ.pop("MPLBACKEND")
        import matplotlib

        os.environ["MPLBACKEND"] = asked
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = asked
    import matplotlib

    return matplotlib


def styled(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return a drawing function that draws in our style and leaves matplotlib's settings alone."""

    @functools.wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _matplotlib().rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return drawn


def new_panel(
    rows: int = 1, columns: int = 1, inches: tuple[float, float] = PANEL_INCHES
) -> tuple["Figure", list["Axes"]]:
    """Return an empty figure, without pyplot's global state, and its axes by rows."""
    _matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.ravel())


def panel_inches(items: int, each: float = 0.5) -> tuple[float, float]:
    """Return the size of a panel with `items` side by side, of which each needs `each` inches."""
    return max(PANEL_INCHES[0], 1.0 + each * items), PANEL_INCHES[1]


def draw_line(axes: "Axes", x: Any, y: Any, look: Look) -> None:
    """Draw a model's line in its look."""
    axes.plot(
        x, y, color=look.colour, ls=look.dash, lw=look.width, label=look.label, zorder=look.order
    )


def add_legend(figure: "Figure", axes: "Axes", notes: Sequence[str] = ()) -> None:
    """Put the legend of `axes` below the panel, where it hides nothing, headed by `notes`.

    Notes say what is not drawn: models whose members blew up. A legend of more than three lines
    makes the figure taller, not the panel smaller.
    """
    handles, labels = axes.get_legend_handles_labels()
    if not handles and not notes:
        return
    width, height = figure.get_size_inches()
    notes = [line for note in notes for line in textwrap.wrap(note, int(width * _NOTE_LETTERS))]
    longest = max(map(len, labels), default=0) + _HANDLE_LETTERS
    columns = max(1, min(int(width * _LEGEND_LETTERS / longest), len(handles)))
    lines = len(notes) + -(-len(handles) // columns)
    figure.set_size_inches(width, height + _LINE_INCHES * max(0, lines - 3))
    legend = figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns,
        handlelength=2.6,
        columnspacing=1.4,
        title="\n".join(notes) or None,
        title_fontsize=8.5,
    )
    legend.get_title().set_color("#8a1c00")


def lost_note(look: Look, dead: int, runs: int, drawn: int) -> str:
    """Return the text that stands in a panel for the members of a model that it does not show.

    `dead` of `runs` members blew up, `drawn` are shown.
    """
    if dead == runs:
        return f"{look.label}: all {runs} members blew up"
    shown = f"{drawn} drawn" if drawn else "none to draw"
    return f"{look.label}: {dead} of {runs} members blew up, {shown}"


def _label_decades(axis: Any) -> None:
    """Label 1, 2 and 5 of each decade of a logarithmic axis with plain numbers, nothing between."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def log_axis(axis: Any, values: Any) -> None:
    """Make an axis logarithmic, with room around the positive ones of `values`, and label it.

    The room of a factor 2.56 or more holds one of the labels 1, 2 and 5 at least.
    """
    positive = np.asarray(values)[np.asarray(values) > 0]
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    if positive.size:
        limits = float(positive.min()) / 1.6, float(positive.max()) * 1.6
        axis.axes.set(**{f"{axis.axis_name}lim": limits})
    _label_decades(axis)


def scientific(axis: Any) -> None:
    """Write large and small tick values of an axis or colour bar as a power of ten."""
    axis.formatter.set_powerlimits((-2, 3))
    axis.formatter.set_useMathText(True)


def _break_labels(figure: "Figure") -> bool:
    """Break the labels of axes that the edge of the figure cuts; return whether there were any.

    A label is centred on its axis, which slanted names below a panel make shorter than the label;
    the layout makes room across an axis, not along it.
    """
    broken = False
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        along = f"interval{axis.axis_name}"
        low, high = getattr(axis.label.get_window_extent(), along)
        cut = low < 0 or high > getattr(figure.bbox, along)[1]
        if cut and axis.label.get_text():
            words, bracket, units = axis.label.get_text().partition(" [")
            lines = textwrap.wrap(words, _LABEL_LETTERS) + ([f"[{units}"] if bracket else [])
            axis.label.set_text("\n".join(lines))
            broken = True
    return broken


def data_uri(figure: "Figure", kind: str = "png") -> str:
    """Return a figure as a data URI, PNG or SVG; undated, so the same data give the same bytes.

    A PNG has a palette of 256 colours, which takes less than half the bytes.
    """
    from PIL import Image

    stream = io.BytesIO()
    notes = {"Date": None} if kind == "svg" else {"Software": None}
    figure.set_dpi(PIXELS_PER_INCH)
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)  # once: saving would do it twice, which takes half of the time
        if _break_labels(figure):
            engine.execute(figure)
        figure.set_layout_engine(None)
    with _matplotlib().rc_context({"svg.hashsalt": "subgrid"}):
        figure.savefig(stream, format=kind, dpi=PIXELS_PER_INCH, metadata=notes)
    if kind == "png":
        image = Image.open(stream).convert("RGB").quantize(256, dither=Image.Dither.NONE)
        stream = io.BytesIO()
        image.save(stream, "PNG", optimize=True)
    mime = "image/svg+xml" if kind == "svg" else "image/png"
    return f"data:{mime};base64,{base64.b64encode(stream.getvalue()).decode()}"
