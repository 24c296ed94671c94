"""The papers behind the parts of a run, as BibTeX."""

from collections.abc import Mapping
from pathlib import Path

from subgrid import __version__
from subgrid.config import Config

_ENTRIES = {
    "subgrid": f"""@software{{subgrid,
  title = {{subgrid: learn what a geophysical model does not resolve}},
  version = {{{__version__}}},
  year = {{2026}}
}}""",
    "otness2025": """@article{otness2025,
  author = {Otness, Karl and Zanna, Laure and Bruna, Joan},
  title = {Data-driven multiscale modeling for correcting dynamical systems},
  journal = {Machine Learning: Science and Technology},
  volume = {6},
  pages = {045072},
  year = {2025}
}""",
    "ross2023": """@article{ross2023,
  author = {Ross, Andrew and Li, Ziwei and Perezhogin, Pavel and Fernandez-Granda, Carlos and
    Zanna, Laure},
  title = {Benchmarking of machine learning ocean subgrid parameterizations in an idealized model},
  journal = {Journal of Advances in Modeling Earth Systems},
  volume = {15},
  pages = {e2022MS003258},
  year = {2023},
  doi = {10.1029/2022MS003258}
}""",
    "pyqg": """@software{pyqg,
  author = {Abernathey, Ryan and others},
  title = {pyqg: v0.7.2},
  year = {2022},
  doi = {10.5281/zenodo.6563667}
}""",
    "smagorinsky1963": """@article{smagorinsky1963,
  author = {Smagorinsky, Joseph},
  title = {General circulation experiments with the primitive equations},
  journal = {Monthly Weather Review},
  volume = {91},
  pages = {99--164},
  year = {1963}
}""",
    "jansen2014": """@article{jansen2014,
  author = {Jansen, Malte F. and Held, Isaac M.},
  title = {Parameterizing subgrid-scale eddy effects using energetically consistent backscatter},
  journal = {Ocean Modelling},
  volume = {80},
  pages = {36--48},
  year = {2014},
  doi = {10.1016/j.ocemod.2014.06.002}
}""",
    "zanna2020": """@article{zanna2020,
  author = {Zanna, Laure and Bolton, Thomas},
  title = {Data-driven equation discovery of ocean mesoscale closures},
  journal = {Geophysical Research Letters},
  volume = {47},
  pages = {e2020GL088376},
  year = {2020},
  doi = {10.1029/2020GL088376}
}""",
    "kochkov2021": """@article{kochkov2021,
  author = {Kochkov, Dmitrii and Smith, Jamie A. and Alieva, Ayya and Wang, Qing and
    Brenner, Michael P. and Hoyer, Stephan},
  title = {Machine learning-accelerated computational fluid dynamics},
  journal = {Proceedings of the National Academy of Sciences},
  volume = {118},
  pages = {e2101784118},
  year = {2021},
  doi = {10.1073/pnas.2101784118}
}""",
    "leith1996": """@article{leith1996,
  author = {Leith, C. E.},
  title = {Stochastic models of chaotic systems},
  journal = {Physica D},
  volume = {98},
  pages = {481--491},
  year = {1996}
}""",
    "germano1991": """@article{germano1991,
  author = {Germano, Massimo and Piomelli, Ugo and Moin, Parviz and Cabot, William H.},
  title = {A dynamic subgrid-scale eddy viscosity model},
  journal = {Physics of Fluids A},
  volume = {3},
  pages = {1760--1765},
  year = {1991}
}""",
    "lilly1992": """@article{lilly1992,
  author = {Lilly, D. K.},
  title = {A proposed modification of the Germano subgrid-scale closure method},
  journal = {Physics of Fluids A},
  volume = {4},
  pages = {633--635},
  year = {1992}
}""",
    "frezat2022": """@article{frezat2022,
  author = {Frezat, Hugo and Le Sommer, Julien and Fablet, Ronan and Balarac, Guillaume and
    Lguensat, Redouane},
  title = {A posteriori learning for quasi-geostrophic turbulence parametrization},
  journal = {Journal of Advances in Modeling Earth Systems},
  volume = {14},
  pages = {e2022MS003124},
  year = {2022},
  doi = {10.1029/2022MS003124}
}""",
    "jax": """@software{jax,
  author = {Bradbury, James and Frostig, Roy and Hawkins, Peter and others},
  title = {JAX: composable transformations of Python and NumPy programs},
  year = {2018},
  url = {http://github.com/jax-ml/jax}
}""",
    "equinox": """@article{equinox,
  author = {Kidger, Patrick and Garcia, Cristian},
  title = {Equinox: neural networks in JAX via callable PyTrees and filtered transformations},
  journal = {Differentiable Programming workshop at Neural Information Processing Systems},
  year = {2021}
}""",
}
_SYSTEMS = {"qg": ("pyqg", "ross2023"), "kolmogorov": ("kochkov2021", "otness2025")}
_CLOSURES = {
    "smagorinsky": ("smagorinsky1963",),
    "backscatter-biharmonic": ("jansen2014", "ross2023"),
    "zanna-bolton-2020": ("zanna2020",),
    "hybrid-symbolic": ("ross2023",),
    "staggered-smagorinsky": ("smagorinsky1963",),
    "staggered-leith": ("leith1996",),
}


def citations(config: Config, copies: Mapping[str, Path] | None = None) -> list[str]:
    """Return the BibTeX entries of subgrid and of every shipped part that a config uses.

    `copies`: the bundles that a run took over, by the name of the model, read instead. Raises
    what `subgrid.deploy.load_bundle` does for a bundle of the config.
    """
    keys = ["subgrid", *_SYSTEMS.get(config.truth.system, ())]
    for model in config.models:
        if model.kind == "closure":
            keys.extend(_CLOSURES.get(model.closure, ()))
            keys.extend(("germano1991", "lilly1992") if model.arguments.get("dynamic") else ())
    if any(model.fine_tune is not None for model in config.adapted()):
        keys.extend(("kochkov2021", "frezat2022"))
    arrangements = {model.arrangement for model in config.learned()}
    for model in config.pretrained():
        from subgrid.deploy import load_bundle  # imports JAX, which the others do not need

        bundle = load_bundle((copies or {}).get(model.name, model.bundle))
        arrangements.add(bundle.metadata.get("arrangement", "single"))
    if arrangements - {"single"} or config.search or config.separated or config.calibration:
        keys.append("otness2025")
    keys.extend(("jax", "equinox"))
    return [_ENTRIES[key] for key in dict.fromkeys(keys)]
