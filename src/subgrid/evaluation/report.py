"""The report: one self-contained HTML page, and the same as Markdown, of sections laid out."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subgrid.evaluation.style import PANEL_INCHES, Panel, data_uri
from subgrid.provenance import write_atomic


@dataclass(frozen=True)
class Image:
    """One image: a name fit for a file, a data URI, and a text for those who cannot see it.

    `wide`: broader than the panels that fit side by side; it gets the width of the page.
    """

    name: str
    uri: str
    alt: str
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """A table of texts: its first column names the rows, the others hold numbers."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A part of the report that a metric or a recipe brings: images with a caption, and tables."""

    title: str
    caption: str = ""
    images: tuple[Image, ...] = ()
    tables: tuple[Table, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.images or any(table.rows for table in self.tables))


@dataclass(frozen=True)
class Verdict:
    """What a model did, in one sentence after its label.

    `outcome`: "better", "worse", "unclear", "unstable" or "baseline".
    """

    label: str
    sentence: str
    outcome: str


@dataclass(frozen=True)
class ReportData:
    """Everything a report shows.

    `facts`: groups of (label, value), under a heading each; `overview`: shown before the verdicts.
    Sections that are empty are left out.
    """

    title: str
    summary: str
    verdicts: tuple[Verdict, ...]
    facts: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    sections: tuple[Section, ...]
    commands: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    footer: str = ""
    overview: Table | None = None

    @property
    def images(self) -> tuple[Image, ...]:
        """The images of all sections."""
        return tuple(image for section in self.sections for image in section.images)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables of all sections."""
        return tuple(table for section in self.sections for table in section.tables)


def section(
    title: str,
    caption: str = "",
    panels: Iterable[Panel] = (),
    tables: Iterable[Table] = (),
    kind: str = "png",
) -> Section:
    """Return a section whose panels are drawn as images ("png" or "svg") within the page."""
    images = (
        Image(
            panel.name,
            data_uri(panel.figure, kind),
            panel.alt,
            bool(panel.figure.get_figwidth() > 1.3 * PANEL_INCHES[0]),
        )
        for panel in panels
    )
    return Section(title, caption, tuple(images), tuple(table for table in tables if table.rows))


def render_html(data: ReportData) -> str:
    """Return the report as one HTML page that needs no network and no other file."""
    return template("subgrid.evaluation", "report.html", autoescape=True).render(data=data)


def render_markdown(data: ReportData, images: Mapping[str, str] | None = None) -> str:
    """Return the report as Markdown; `images` maps the name of an image to its path or address.

    Images that are not in `images` are left out.
    """
    page = template("subgrid.evaluation", "report.md", {"text": plain_markdown})
    return page.render(data=data, images=dict(images or {})).strip() + "\n"


def plain_markdown(text: str) -> str:
    """Return a text that is no HTML, link, table cell or line of its own where Markdown shows it.

    What users write (names, descriptions) may stand in a report that others read. Written as
    entities, which no backslash before them undoes.
    """
    text = re.sub(r"&(?=#?\w+;)", "&amp;", " ".join(text.split()))
    text = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text).replace("|", "&#124;")
    return re.sub(r"\](?=[(\[:])", "&#93;", text)


def write_report(data: ReportData, path: str | Path) -> None:
    """Write the HTML report, whole or not at all."""
    write_atomic(path, render_html(data))


def markdown_files(
    data: ReportData, path: str | Path, folder: str = "figures"
) -> dict[Path, bytes]:
    """Return what the report as Markdown at `path` is made of: its images in `folder`, the page."""
    path = Path(path)
    files, links = {}, {}
    for image in data.images:
        kind = "svg" if image.uri.startswith("data:image/svg") else "png"
        target = path.parent / folder / f"{path.stem}-{image.name}.{kind}"
        files[target] = base64.b64decode(image.uri.partition(",")[2])
        links[image.name] = f"{folder}/{target.name}"
    return {**files, path: render_markdown(data, links).encode()}


def write_markdown(data: ReportData, path: str | Path, folder: str = "figures") -> list[Path]:
    """Write the report as Markdown, its images beside it in `folder`; return their paths."""
    files = markdown_files(data, path, folder)
    for target, content in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, content)
    return [target for target in files if target != Path(path)]


def template(
    package: str,
    name: str,
    filters: Mapping[str, Callable[..., str]] | None = None,
    autoescape: bool = False,
) -> Any:
    """Return a Jinja template in `templates` of a package; a name that it lacks is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= filters or {}
    return environment.get_template(name)
