"""onnxruntime, kept from telling its maker on what machine and by which program it is used, and our sessions in it."""

from __future__ import annotations

import os
import platform
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from onnxruntime import InferenceSession as InferenceSession

SILENT: Final = "ORT_DISABLE_TELEMETRY"
"""Looked at once, when it is loaded; its `disable_telemetry_events` comes after the first report."""


def onnxruntime() -> Any:
    """The module; whoever imports it otherwise sends reports to its maker, and has an id of them in the home folder."""
    os.environ.setdefault(SILENT, "1")
    return import_module("onnxruntime")


def session(model: Path | bytes) -> InferenceSession:
    """`model` on the calling thread alone, the same whether it serves or is measured.

    To serve it is given as a path, for its bytes would stay resident (28 MB). Raises what onnxruntime raises.
    """
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # keeps 11 MB more and is no faster
    options.log_severity_level = 3
    if _multiplies_int8_exactly():
        # The nodes are final. Fused, SkipLayerNormalization would take ten times as long: it is not vectorised.
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    else:
        options.add_session_config_entry("session.x64quantprecision", "1")  # an optimiser makes the exact form
    source = model if isinstance(model, bytes) else str(model)
    off = ["SkipLayerNormFusion"]
    made: InferenceSession = runtime.InferenceSession(
        source, options, ["CPUExecutionProvider"], disabled_optimizers=off
    )
    return made


def _multiplies_int8_exactly() -> bool:
    """False on x86-64 without VNNI, whose int8 products may saturate at 16 bits; onnxruntime then has an exact form."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False  # not Linux: slower, and right on every processor
