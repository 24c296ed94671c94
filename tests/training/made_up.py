"""Samples in memory whose forcing is a simple nonlinear function of the state's neighbours."""

import hashlib
from pathlib import Path

import numpy as np

from subgrid.data import Samples, VariableStatistics

SIZE = 16
Q, S = 8e-6, 7e-12  # standard deviations of a real q and its forcing, 1/s and 1/s²


class MadeUp:
    """Has the methods of `subgrid.data.Samples` that training asks for."""

    path = Path("made-up.zarr")
    scale = SIZE
    variables = ("q", "q_forcing")

    def __init__(self, count, seed):
        random = np.random.default_rng(seed)
        noise = np.fft.rfft2(random.normal(size=(count, 2, SIZE, SIZE)))
        k = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None])
        q = np.fft.irfft2(noise * np.exp(-((6 * k) ** 2)))
        q /= q.std()
        slope = np.roll(q, 1, -1) - np.roll(q, -1, -1)
        s = np.maximum(slope, 0) - 0.5 * q[:, ::-1]
        s /= s.std()
        self.arrays = {"q": np.float32(Q * q + 0.1 * Q), "q_forcing": np.float32(S * s)}

    @property
    def content_hash(self):
        content = b"".join(values.tobytes() for values in self.arrays.values())
        return hashlib.sha256(content).hexdigest()

    def __len__(self):
        return len(self.arrays["q"])

    def batch(self, indices):
        return {name: values[np.asarray(indices)] for name, values in self.arrays.items()}

    def batches(self, seed, batch_size):
        return Samples.batches(self, seed, batch_size)

    def statistics(self):
        return {name: _summary(values) for name, values in self.arrays.items()}


def _summary(values):
    axes = (0, 2, 3)
    values = values.astype(np.float64)
    return VariableStatistics(
        values.mean(axes), values.var(axes), values.min(axes), values.max(axes), values.size, ()
    )
