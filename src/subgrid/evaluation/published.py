"""Numbers of papers, to stand beside measured ones.

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
