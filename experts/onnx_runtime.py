"""onnxruntime, kept from telling its maker on what machine and by which program it is used."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from onnxruntime import InferenceSession as InferenceSession

SILENT: Final = "ORT_DISABLE_TELEMETRY"
"""Looked at once, when it is loaded; its `disable_telemetry_events` comes after the first report."""


def onnxruntime() -> Any:
    """The module; whoever imports it otherwise sends reports to its maker, and has an id of them in the home folder."""
    os.environ.setdefault(SILENT, "1")
    return import_module("onnxruntime")
