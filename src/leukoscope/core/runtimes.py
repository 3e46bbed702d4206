"""The programs that run and change models are imported here and nowhere else, so that none reports home.

As they come, ONNX Runtime (from 1.29 on), OpenVINO and NNCF write an id into the home folder and send word of
what they run. Images of patients' cells are looked at here; nobody is told.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from contextlib import redirect_stdout
from typing import Any

from leukoscope.errors import MissingExtraError


def import_onnxruntime() -> Any:
    """The package onnxruntime; ``ORT_DISABLE_TELEMETRY`` is set unless somebody has set it."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def import_openvino() -> Any:
    """The package openvino.

    Raises:
        MissingExtraError: without the extra ``openvino``.
    """
    _no_openvino_telemetry()
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("OpenVINO", "openvino") from None
    return openvino


def import_nncf() -> tuple[Any, Any]:
    """The packages nncf, quiet, and onnx.

    Raises:
        MissingExtraError: without the extra ``int8``.
    """
    import_onnxruntime()  # NNCF runs graphs on it
    _no_openvino_telemetry()
    try:
        with redirect_stdout(io.StringIO()):  # it binds its log to standard output
            import nncf
        import onnx
    except ImportError:
        raise MissingExtraError("quantising a bundle", "int8") from None
    nncf.set_log_level(logging.CRITICAL)
    return nncf, onnx


def _no_openvino_telemetry() -> None:
    """Where the package openvino_telemetry cannot be imported, OpenVINO and NNCF take a stub of their own."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: cannot be imported
