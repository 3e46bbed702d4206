"""The programs that run models are imported here and nowhere else, so that none of them reports home.

As they come, ONNX Runtime (from 1.29 on) and OpenVINO write an id into the home folder and send word of what
they run. Images of patients' cells are looked at here; nobody is told.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from leukoscope.errors import MissingExtraError


def import_onnxruntime() -> Any:
    """The package onnxruntime; ``ORT_DISABLE_TELEMETRY`` is set unless somebody has set it."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def import_openvino() -> Any:
    """The package openvino. Where its package openvino_telemetry cannot be imported, it takes a stub of its
    own instead, and so does NNCF: import NNCF after this call.

    Raises:
        MissingExtraError: without the extra ``openvino``.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: cannot be imported
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("OpenVINO", "openvino") from None
    return openvino
