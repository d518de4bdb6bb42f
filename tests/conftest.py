"""Fixtures that more than one test module uses."""

import sys
from pathlib import Path

# The helper modules beside the tests: pytest's importlib mode leaves sys.path alone.
sys.path.insert(0, str(Path(__file__).parent))

from engines import _flink_session, flink, flink_jar, prism

__all__ = ["_flink_session", "flink", "flink_jar", "prism"]
