"""The report: whole, self-contained, and honest about what is missing."""

import dataclasses
import re

import pytest

import subgrid
from subgrid.evaluation import (
    Findings,
    RunInfo,
    StepCost,
    Timing,
    assemble,
    assemble_report,
    compare,
    render_html,
    render_markdown,
    two_thirds_cut,
    with_costs,
    write_markdown,
    write_report,
)
from subgrid.evaluation.report import Image, plain_markdown
from subgrid.evaluation.style import BASELINE, TRUTH, looks


def test_the_page_needs_nothing_else(data):
    page = render_html(data)
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "url(" not in page
    assert "@import" not in page
    assert "<script" not in page
    assert 'name="viewport"' in page
    assert "A &lt;small&gt; run" in page
    assert page.count("<img") == len(data.images)
    assert all(image.alt for image in data.images)


HOSTILE = (
    "<script>alert(1)</script> [x](javascript:alert(1)) a|b &lt;i&gt;\n# head\n\n[x]: http://x"
)


def hostile(value):
    """Return report data with a hostile text in place of every text but images."""
    if isinstance(value, Image):
        return dataclasses.replace(value, alt=HOSTILE)
    if dataclasses.is_dataclass(value):
        kept = {"outcome": "better"} if hasattr(value, "outcome") else {}
        found = {f.name: hostile(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **{**found, **kept})
    if isinstance(value, tuple):
        return tuple(map(hostile, value))
    return HOSTILE if isinstance(value, str) else value


def test_texts_of_users_are_shown_and_do_nothing(data):
    """Names and descriptions end up in reports that others open, or convert to HTML."""
    made = hostile(data)
    page = render_html(made)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    images = dict.fromkeys((image.name for image in made.images), "p.png")
    text = render_markdown(made, images)
    lines = text.split("\n")
    code = lines.index("```"), len(lines) - lines[::-1].index("```") - 1
    shown = "\n".join([*lines[: code[0]], *lines[code[1] + 1 :]])
    assert "<script" not in shown
    assert "](javascript" not in shown
    assert "&amp;lt;i&amp;gt;" in shown  # as it was written

    assert not [line for line in lines if line.startswith(("# head", "[x]:"))]
    rows = [line for line in lines if line.startswith("| ")]
    widths = {len(table.columns) for table in made.tables} | {len(made.overview.columns)}
    assert {row.count("|") - 1 for row in rows} == widths


def test_our_own_texts_are_left_as_they_are():
    for text in ("Otness, Zanna & Bruna", "p < 0.05", "0.7 [0.6, 0.8]", "q_forcing", "a*b", "#1"):
        assert plain_markdown(text) == text


def test_the_page_lets_no_script_run_and_loads_nothing(data):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', render_html(data))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.group(1).split(";"))
    assert rules["default-src"] == "'none'"  # scripts, frames, connections, fonts
    assert rules["img-src"] == "data:"
    assert rules["style-src"] == "'unsafe-inline'"
    assert {"base-uri", "form-action"} <= set(rules)


def test_the_page_says_what_happened(data):
    page = render_html(data)
    for text in ("Smagorinsky", "2 of 2 members blew up", "subgrid run quickstart", "quickstart"):
        assert text in page
    titles = [table.title for table in data.tables]
    assert "Members that blew up" in titles
    assert "Offline: predicted against true forcing" in titles
    assert any("Only 2 members" in warning for warning in data.warnings)
    assert [verdict.outcome for verdict in data.verdicts][::2] == ["baseline", "unstable"]


def test_tables_are_rectangular(data):
    for table in data.tables:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_markdown_has_the_same_tables_and_writes_the_images(data, tmp_path):
    images = write_markdown(data, tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text()
    assert text == render_markdown(
        data, {i.stem.removeprefix("report-"): f"figures/{i.name}" for i in images}
    )
    for table in data.tables:
        assert table.title in text
        assert "| " + " | ".join(table.rows[0]) + " |" in text
    for image in images:
        assert image.read_bytes().startswith(b"\x89PNG")
        assert f"(figures/{image.name})" in text
    assert "![" not in render_markdown(data)


@pytest.mark.slow
def test_skill_against_cost_comes_first_where_finer_grids_are_rivals(data, runs, truth, coarse):
    titles = [section.title for section in data.sections]
    assert titles.index("Skill against cost") > titles.index("Similarity to the truth")
    cut = two_thirds_cut(coarse.grid)
    costs = {name: StepCost(1e-3, 1.0) for name in runs}
    scores = compare(runs, truth, baseline="none", system=coarse, cut=cut, samples=40)
    scores = with_costs(scores, costs)
    info = RunInfo(title="Grids", facts={}, commands=[])
    timing = Timing(7200.0, "a test machine", finer_grids=True)
    report = assemble_report(info, Findings(coarse, truth, runs, scores, cut, timing=timing))
    first = report.sections[0]
    assert first.title == "Is it worth its cost? Skill against cost"
    assert "timed on a test machine" in first.caption


def test_writing_again_gives_the_same_bytes(data, tmp_path):
    write_report(data, tmp_path / "a.html")
    write_report(data, tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


@pytest.mark.slow
def test_every_level_shown_is_the_one_of_the_intervals(runs, truth, coarse):
    cut = two_thirds_cut(coarse.grid)
    costs = {name: StepCost(1e-3, 1.0) for name in runs}
    options = {"cut": cut, "level": 0.8, "samples": 50}
    scores = compare(runs, truth, baseline="none", system=coarse, **options)
    scores = with_costs(scores, costs)
    info = RunInfo(title="Other intervals", facts={}, commands=[])
    timing = Timing(7200.0, "a test machine")
    page = render_html(
        assemble_report(info, Findings(coarse, truth, runs, scores, cut, timing=timing))
    )
    found = re.findall(r"(\d+) % (?:bootstrap interval|interval|level)", page)
    assert len(found) >= 4
    assert set(found) == {"80"}
    # 2 · 2⁻⁴ = 12.5 % is the first below 20 %
    assert "fewer than 4 cannot exclude chance at the 80 % level" in page


def test_the_page_names_the_version_and_commit(data, runs, truth, coarse, monkeypatch):
    assert f"Written by subgrid {subgrid.__version__}" in render_html(data)
    assert f"Written by subgrid {subgrid.__version__}" in render_markdown(data)
    cut = two_thirds_cut(coarse.grid)
    alone = {"none": runs["none"]}
    scores = compare(alone, truth, baseline="none", system=coarse, cut=cut, samples=40)
    info = RunInfo(title="Empty", facts={}, commands=[], footer="In a folder.")
    for commit, text in (
        ("abc123-dirty", f"Written by subgrid {subgrid.__version__}, commit abc123-dirty. In a"),
        (None, f"Written by subgrid {subgrid.__version__}. In a folder."),
    ):
        monkeypatch.setattr(assemble, "commit", lambda commit=commit: commit)
        report = assemble_report(info, Findings(coarse, truth, alone, scores, cut))
        assert text in render_html(report).partition("<footer>")[2]


def test_every_model_has_a_look_of_its_own():
    styles = looks([BASELINE, *"abcdefghi"])
    assert len({look.colour for look in styles.values()}) == 11
    many = looks([str(number) for number in range(30)]).values()  # colours repeat, looks do not
    assert len({(look.colour, look.dash) for look in many}) == 32
    assert len({(look.colour, look.marker) for look in many}) == 32
    assert styles[TRUTH].colour == "#000000"
    assert looks(["a", BASELINE])["a"] == styles["a"]
