"""What megatron-core 0.16.1 gets wrong where Transformer Engine is absent, on CPU and GPU alike.

Each fix is a function with its reason; a test runs megatron-core without it and sees the fault.
"""

from __future__ import annotations

from collections.abc import Callable


def install() -> None:
    """Apply every fix; once in a process, before a model is built."""
    for fix in FIXES:
        fix()


def router_gemm() -> None:
    """The router tests `te_general_gemm is not None`, but the name is bound only where the import succeeds."""
    from megatron.core.transformer.moe import moe_utils

    if not hasattr(moe_utils, "te_general_gemm"):
        moe_utils.te_general_gemm = None


FIXES: list[Callable[[], None]] = [router_gemm]
