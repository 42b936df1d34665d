"""Computing in bfloat16, where the processor does."""

from __future__ import annotations

import torch


def mixed(device: str, wanted: bool = True) -> torch.autocast:
    """Compute in bfloat16 what may be, on a device ("cpu", "cuda") that can; elsewhere all stays float32.

    A CPU without AVX-512 emulates bfloat16, ten times slower than float32 (measured on an AVX2 machine).
    """
    return torch.autocast(device, torch.bfloat16, wanted and computes_bfloat16(device))


def computes_bfloat16(device: str) -> bool:
    """Tell whether a device computes in bfloat16 rather than emulating it."""
    return device != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
