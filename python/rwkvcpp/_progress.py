# SPDX-License-Identifier: Apache-2.0
"""The bar of Model(..., progress=True)."""

from collections.abc import Callable


def bar() -> Callable[[int, int], None] | None:
    """A function of (done, total) that draws a tqdm bar, or None when tqdm is not installed."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    drawn = tqdm(unit="B", unit_scale=True, desc="loading")

    def update(done: int, total: int) -> None:
        drawn.total = total
        drawn.update(done - drawn.n)
        if done >= total:
            drawn.close()

    return update
