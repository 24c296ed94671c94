"""Skill and correlation from means of prediction p and truth t, whatever the means are over."""

import numpy as np
from numpy.typing import NDArray

from subgrid.evaluation.intervals import ratio

Values = NDArray[np.float64]


def skill(error: Values, truth: Values, truth_squared: Values) -> Values:
    """Return 1 - ⟨(p-t)²⟩ / ⟨(t-⟨t⟩)²⟩ from ⟨(p-t)²⟩, ⟨t⟩ and ⟨t²⟩; NaN for a constant truth."""
    return 1 - ratio(error, truth_squared - truth**2)


def pearson(
    prediction: Values,
    truth: Values,
    prediction_squared: Values,
    truth_squared: Values,
    product: Values,
) -> Values:
    """Return the correlation from ⟨p⟩, ⟨t⟩, ⟨p²⟩, ⟨t²⟩ and ⟨pt⟩; NaN where one is constant."""
    variances = (prediction_squared - prediction**2) * (truth_squared - truth**2)
    return ratio(product - prediction * truth, np.sqrt(np.maximum(variances, 0)))
