"""The processes of the tests of several ranks, forked by one interpreter for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from forked_ranks import Ranks


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    with Ranks() as started:
        yield started
