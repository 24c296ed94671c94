"""The report in a real browser, as wide as a desktop and as narrow as a telephone."""

import html
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from subgrid.evaluation import render_html

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs the program `chromium` (apt-get install chromium)"
)
HEIGHT = 20000
# no network, no first-run pages, no sandbox (CI runs as root)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # small in containers
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
# a window is never narrower than 500 pixels, a frame is: the report stands in one, as it is, and
# what surrounds it measures it
FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe style="border:0;width:{width}px;height:{height}px" srcdoc="{page}"></iframe>
<pre id="measured"></pre>
<script>
function box(node) {{ const b = node.getBoundingClientRect(); return [b.left, b.right, b.height]; }}
onload = () => {{
  const frame = document.querySelector("iframe"), page = frame.contentDocument;
  const all = (query) => [...page.querySelectorAll(query)];
  document.getElementById("measured").textContent = JSON.stringify({{
    inner: frame.contentWindow.innerWidth,
    scroll: page.documentElement.scrollWidth,
    height: page.body.getBoundingClientRect().height,
    images: all("img, svg").map((node) => [node.naturalWidth ?? 1, ...box(node)]),
    blocks: all("h1, h2, h3, h4, p, li, dt, dd, figcaption, .table, pre, footer").map(
      (node) => [node.tagName, node.textContent.length, ...box(node)]),
    scrolling: all(".table, pre").map((node) =>
      [node.scrollWidth, node.clientWidth, getComputedStyle(node).overflowX]),
    letters: Math.min(...all("main *").map(
      (node) => parseFloat(getComputedStyle(node).fontSize))),
  }});
}};
</script>"""


@pytest.fixture(scope="module", params=[1280, 400])
def shown(request, data, tmp_path_factory):
    """Return the width, what was measured and the screenshot as an array."""
    width, folder = request.param, tmp_path_factory.mktemp("browser")
    page = html.escape(render_html(data), quote=True)
    (folder / "frame.html").write_text(FRAME.format(width=width, height=HEIGHT, page=page))
    done = subprocess.run(
        [
            str(CHROMIUM),
            *FLAGS,
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={max(width, 500)},{HEIGHT}",
            f"--screenshot={folder / 'screen.png'}",
            "--dump-dom",
            (folder / "frame.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.search(r'<pre id="measured">(\{.*?\})</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return width, json.loads(html.unescape(found[1])), _pixels(folder / "screen.png")


def _pixels(path):
    from PIL import Image

    with Image.open(io.BytesIO(path.read_bytes())) as image:
        return np.asarray(image.convert("RGB"))


def test_nothing_is_wider_than_the_page(shown):
    width, measured, _ = shown
    assert measured["inner"] == width
    assert measured["scroll"] <= measured["inner"]
    for tag, letters, left, right, height in measured["blocks"]:
        assert left >= 0, tag
        assert right <= width, (tag, right)
        assert height > 0 or not letters, tag


def test_wide_tables_scroll_within_their_own_frame(shown):
    width, measured, _ = shown
    for _, _, overflow in measured["scrolling"]:
        assert overflow == "auto"
    assert any(inner > outer for inner, outer, _ in measured["scrolling"]) or width > 400


def test_every_image_is_there_and_large_enough_to_read(shown, data):
    width, measured, _ = shown
    assert len(measured["images"]) == len(data.images)
    for natural, left, right, height in measured["images"]:
        assert natural > 0
        assert height > 100
        assert right - left >= min(300, 0.75 * width)
        assert 0 <= left < right <= width


def test_letters_are_legible(shown):
    assert shown[1]["letters"] >= 12


def test_the_picture_of_the_page_is_not_blank(shown):
    width, measured, pixels = shown
    assert measured["height"] < HEIGHT
    page = pixels[: int(measured["height"]), :width]
    # in every band as high as two screens there is text or a figure, in more than two colours
    for top in (*range(0, len(page) - 1600, 1600), max(0, len(page) - 1600)):
        band = page[top : top + 1600].reshape(-1, 3)
        colours = np.unique(band @ np.array([1, 256, 65536]))
        assert len(colours) > 10, top
        assert band.std() > 3, top
    # the figures have colour: the grey of text and paper has none
    assert (np.ptp(page.astype(int), axis=-1) > 60).mean() > 0.01
