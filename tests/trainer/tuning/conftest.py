"""What all searches of the tests begin with."""

import pytest
from small_manifest import write_small_manifest


@pytest.fixture
def folder(tmp_path):
    write_small_manifest(tmp_path / "m", n=600, fractions=(0.1,))
    return tmp_path
