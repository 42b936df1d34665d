"""Tests of this folder share `studio`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
