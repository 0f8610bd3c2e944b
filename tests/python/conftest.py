# SPDX-License-Identifier: Apache-2.0
"""What the tests share: where their data is, and the bundled model."""

from pathlib import Path

import pytest

import rwkvcpp

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def data():
    """The tests' own files."""
    return REPOSITORY / "tests" / "data"


@pytest.fixture(scope="session")
def shared():
    """The optional folder of trained models beside the repository."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"skipped: {folder} is not here")
    return folder


@pytest.fixture(scope="session")
def demo():
    """The bundled model; tests that close it load their own."""
    return rwkvcpp.load_demo("cpu fp32")
