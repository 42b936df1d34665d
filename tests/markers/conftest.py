"""Lets this room's tests import `scenes`, pages and simulated photos of them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
