"""The pages in docs: links lead somewhere, and results tables are those of the pages of runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
SUMMARIES = ("qg.md", "kf.md")
# (summary, heading) → section
SECTIONS = {
    (name, heading): section
    for name in SUMMARIES
    for heading, section in (
        text.split("\n", 1) for text in (RESULTS / name).read_text().split("\n## ")[1:]
    )
}
# but for those whose tables hold no results
OTHERS = ("The runs", "What was reduced", "Published statements beside measured ones")
MEASURED = [place for place in SECTIONS if place[1] not in OTHERS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_images_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_folder_of_one_machine(page):
    assert not re.findall(r"(?<![\w.)])/(?:home|root|tmp|work|Users)/\S+", page.read_text())


@pytest.mark.parametrize("place", MEASURED, ids=" ".join)
def test_rows_of_a_summary_stand_on_the_pages_it_links_to(place):
    section = SECTIONS[place]
    found = re.findall(r"\(((?:qg|kf)-[\w.-]+\.md)\)", section)
    pages = [(RESULTS / name).read_text() for name in found]
    known = {line for page in pages for line in page.splitlines()}
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert [row for row in rows if row not in known] == []


@pytest.mark.parametrize(("name", "fewest"), [("qg.md", 6), ("kf.md", 3)])
def test_most_of_a_summary_is_held_to_the_pages(name, fewest):
    sections = [SECTIONS[place] for place in MEASURED if place[0] == name]
    assert sum("\n| " in section for section in sections) >= fewest
