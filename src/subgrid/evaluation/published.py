"""Numbers of papers, to stand beside measured ones.

Ross et al. 2023, J. Adv. Model. Earth Syst. 15, e2022MS003258: the online similarity of the
notebooks beside it, 64² against 256², operator 1, single runs of ten years averaged from year five
on. Their eddy constants and weights are used for the jet too.

Otness, Zanna & Bruna 2025, Mach. Learn.: Sci. Technol. 6 045072, tables 1 and 2: two-layer QG from
256², networks "small" and "large", sizes 128, 96 and 64; MSE in units of the standardised forcing
at the higher size.
"""

SIZES = (128, 96, 64)

# (network, metric) → {(high, low): {task: mean}}; "direct" belongs to the high size alone
SEPARATED: dict[tuple[str, str], dict[tuple[int, int], dict[str, float]]] = {
    ("small", "mse"): {
        (128, 96): {"coarsened": 0.063, "across": 0.078, "buildup": 0.038, "direct": 0.107},
        (128, 64): {"coarsened": 0.002, "across": 0.005, "buildup": 0.103, "direct": 0.107},
        (96, 64): {"coarsened": 0.036, "across": 0.063, "buildup": 0.066, "direct": 0.115},
    },
    ("small", "relative_l2"): {
        (128, 96): {"coarsened": 0.330, "across": 0.368, "buildup": 0.193, "direct": 0.324},
        (128, 64): {"coarsened": 0.422, "across": 0.797, "buildup": 0.319, "direct": 0.324},
        (96, 64): {"coarsened": 0.360, "across": 0.478, "buildup": 0.255, "direct": 0.334},
    },
    ("small", "relative_spectral_l2"): {
        (128, 96): {"coarsened": 0.145, "across": 0.175, "buildup": 0.060, "direct": 0.148},
        (128, 64): {"coarsened": 0.201, "across": 0.626, "buildup": 0.147, "direct": 0.148},
        (96, 64): {"coarsened": 0.168, "across": 0.260, "buildup": 0.104, "direct": 0.179},
    },
    ("large", "mse"): {
        (128, 96): {"coarsened": 0.043, "across": 0.062, "buildup": 0.019, "direct": 0.064},
        (128, 64): {"coarsened": 0.001, "across": 0.005, "buildup": 0.056, "direct": 0.064},
        (96, 64): {"coarsened": 0.030, "across": 0.060, "buildup": 0.044, "direct": 0.083},
    },
    ("large", "relative_l2"): {
        (128, 96): {"coarsened": 0.268, "across": 0.322, "buildup": 0.136, "direct": 0.248},
        (128, 64): {"coarsened": 0.371, "across": 0.784, "buildup": 0.233, "direct": 0.248},
        (96, 64): {"coarsened": 0.324, "across": 0.461, "buildup": 0.207, "direct": 0.280},
    },
    ("large", "relative_spectral_l2"): {
        (128, 96): {"coarsened": 0.092, "across": 0.138, "buildup": 0.030, "direct": 0.085},
        (128, 64): {"coarsened": 0.159, "across": 0.636, "buildup": 0.070, "direct": 0.085},
        (96, 64): {"coarsened": 0.131, "across": 0.268, "buildup": 0.069, "direct": 0.109},
    },
}

_LAYERED = ("q", "u", "v", "kinetic_energy", "enstrophy")
_SPECTRA = ("kinetic_energy_spectrum", "enstrophy_spectrum")
_BUDGET = (
    "kinetic_energy_flux",
    "potential_energy_flux",
    "potential_energy_generation",
    "bottom_drag",
)
SIMILARITIES = (
    tuple(f"{name}_{level}" for name in (*_LAYERED, *_SPECTRA) for level in ("upper", "lower"))
    + _BUDGET
)
SCORECARD_SETTING = ("qg", 256, 64, "operator1")  # system, cells of the truth, of the model, C

# configuration → {closure: its similarities, in the order of SIMILARITIES}
# fmt: off
_SCORECARDS: dict[str, dict[str, tuple[float, ...]]] = {
    "eddy": {
        "Smagorinsky": (
            -1.15, 0.04, -2.19, -0.99, -1.56, -0.92, -1.36, -0.79, -1.11, -1.39,
            -0.79, -0.67, -0.66, 0.13, -0.72, -0.53, -0.08, -0.67,
        ),
        "backscatter": (
            0.43, 0.77, 0.68, 0.94, 0.64, 0.77, 0.66, 0.89, 0.04, 0.92,
            0.93, 0.86, 0.91, 0.86, 0.80, 0.82, 0.76, 0.86,
        ),
        "hybrid symbolic": (
            0.45, 0.68, 0.76, 0.77, 0.76, 0.85, 0.70, 0.81, 0.10, 0.76,
            0.77, 0.88, 0.73, 0.68, 0.75, 0.82, 0.71, 0.88,
        ),
        "FCNN": (
            0.86, 0.80, 0.61, 0.84, 0.44, 0.77, 0.69, 0.83, 0.52, 0.70,
            0.66, 0.84, 0.59, 0.74, 0.81, 0.78, 0.76, 0.84,
        ),
    },
    "jet": {
        "Smagorinsky": (
            -0.84, -0.12, -0.89, -1.52, -0.92, -0.69, -0.52, -0.77, -0.60, -0.77,
            -0.41, -0.03, -0.33, 0.03, -1.48, -0.30, -3.05, -0.03,
        ),
        "backscatter": (
            0.38, -0.24, 0.30, -0.36, 0.25, 0.65, 0.33, 0.77, -0.03, 0.84,
            0.51, 0.63, 0.39, -1.67, -0.33, 0.15, -1.43, 0.63,
        ),
        "hybrid symbolic": (
            0.30, 0.83, 0.10, 0.64, 0.21, 0.34, 0.19, 0.45, 0.01, 0.28,
            0.73, 0.74, 0.75, 0.43, 0.51, 0.31, -0.24, 0.74,
        ),
        "FCNN": (
            -0.86, -6.08, -1.10, -5.12, -0.91, -1.12, -0.45, -3.77, 0.73, -1.35,
            -1.90, -6.12, -4.52, -34.43, -6.64, -5.69, -3.15, -6.12,
        ),
    },
}
# fmt: on


def scorecard(configuration: str) -> dict[str, dict[str, float]]:
    """Return the published similarities of two-layer QG, closure → quantity → score.

    Empty for a configuration without any; those of another one do not compare.
    """
    return {
        closure: dict(zip(SIMILARITIES, values, strict=True))
        for closure, values in _SCORECARDS.get(configuration, {}).items()
    }


def separated_row(
    network: str, metric: str, high: int, low: int, sizes: tuple[int, ...]
) -> tuple[tuple[int, int], dict[str, float]] | None:
    """Return the published sizes and means that `high` and `low` of `sizes` stand for.

    Sizes with the ratios of 128 : 96 : 64 stand for these; None where there is no counterpart.
    """
    if [size * SIZES[0] for size in sizes] != [size * sizes[0] for size in SIZES]:
        return None
    theirs = (SIZES[sizes.index(high)], SIZES[sizes.index(low)])
    found = SEPARATED.get((network, metric), {}).get(theirs)
    return None if found is None else (theirs, found)
