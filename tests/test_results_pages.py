"""The pages in docs: links lead somewhere, and results tables are those of the pages of runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
# of the page that sums up: a heading, then text, figures and tables
SECTIONS = re.split(r"^(?=## )", (RESULTS / "qg.md").read_text(), flags=re.MULTILINE)
OF_RUNS = [text for text in SECTIONS if re.search(r"\(qg-[\w.-]+\.md\)", text) and "\n| " in text][
    1:
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_images_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_folder_of_one_machine(page):
    assert not re.findall(r"(?<![\w.)])/(?:home|root|tmp|work|Users)/\S+", page.read_text())


@pytest.mark.parametrize("section", OF_RUNS, ids=lambda text: text.splitlines()[0].strip("# "))
def test_rows_of_the_summary_stand_on_the_page_of_their_run(section):
    pages = {target: (RESULTS / target) for target in re.findall(r"\((qg-[\w.-]+\.md)\)", section)}
    known = {line for page in pages.values() for line in page.read_text().splitlines()}
    rows = [line for line in section.splitlines() if line.startswith("|") and "---" not in line]
    assert rows
    assert [row for row in rows if row not in known] == []
