"""The pages in docs: links lead somewhere, and results tables are those of the pages of runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
# sections of the summary by heading, but for those whose tables hold no results
SECTIONS = dict(text.split("\n", 1) for text in (RESULTS / "qg.md").read_text().split("\n## ")[1:])
MEASURED = [name for name in SECTIONS if name not in ("The runs", "What was reduced")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_images_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_folder_of_one_machine(page):
    assert not re.findall(r"(?<![\w.)])/(?:home|root|tmp|work|Users)/\S+", page.read_text())


@pytest.mark.parametrize("heading", MEASURED)
def test_rows_of_the_summary_stand_on_the_pages_it_links_to(heading):
    section = SECTIONS[heading]
    pages = [(RESULTS / name).read_text() for name in re.findall(r"\((qg-[\w.-]+\.md)\)", section)]
    known = {line for page in pages for line in page.splitlines()}
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert [row for row in rows if row not in known] == []


def test_most_of_the_summary_is_held_to_the_pages():
    assert sum("\n| " in SECTIONS[heading] for heading in MEASURED) >= 6
