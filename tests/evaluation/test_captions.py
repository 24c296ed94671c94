"""The texts of the report stand in a file of their own."""

from importlib import resources

from subgrid.evaluation.captions import _texts, caption


def test_a_caption_is_filled_in_and_its_lines_are_joined():
    said = caption("state", "", "cost_networks", field="vorticity")
    assert said.startswith("A held-out state of the truth, coarsened to the grid of the closures: ")
    assert ": vorticity. Operations of a network: " in said
    assert "\n" not in caption("kept")


def test_every_text_has_a_use():
    folder = resources.files("subgrid.evaluation")
    code = "".join(f.read_text("utf-8") for f in folder.iterdir() if f.name.endswith(".py"))
    assert [key for key in _texts() if f'"{key}"' not in code] == []
