# SPDX-License-Identifier: Apache-2.0
"""The bar of Model(..., progress=True)."""

from collections.abc import Callable
from importlib import import_module


def bar() -> Callable[[int, int], None] | None:
    """A function of (done, total) that draws a tqdm bar, or None when tqdm is not installed."""
    try:
        tqdm = import_module("tqdm.auto")
    except ImportError:
        return None
    drawn = tqdm.tqdm(unit="B", unit_scale=True, desc="loading")

    def update(done: int, total: int) -> None:
        drawn.total = total
        drawn.update(done - drawn.n)
        if done >= total:
            drawn.close()

    return update
