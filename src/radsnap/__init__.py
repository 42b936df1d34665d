"""radsnap reads chest x-rays from phone photos."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from radsnap.client import Client
    from radsnap.imaging import read_image as read
    from radsnap.jobs.benchmark import benchmark
    from radsnap.jobs.diagnose import diagnose
    from radsnap.photo import photograph

__version__ = "0.1.0"

__all__ = ["Client", "__version__", "benchmark", "diagnose", "photograph", "read"]

# Public name → (module, name there). Loaded at first use, so that `import radsnap` stays light. No name here
# may be a module's: the import of a module radsnap.x sets radsnap.x to the module.
_PUBLIC = {
    "Client": ("radsnap.client", "Client"),
    "benchmark": ("radsnap.jobs.benchmark", "benchmark"),
    "diagnose": ("radsnap.jobs.diagnose", "diagnose"),
    "photograph": ("radsnap.photo", "photograph"),
    "read": ("radsnap.imaging", "read_image"),
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'radsnap' has no attribute '{name}'")
    module, attribute = _PUBLIC[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
