"""What is done here is told to nobody: programs beneath that report home are kept from it."""

from __future__ import annotations

import os
import sys


def no_telemetry() -> None:
    """Keep ONNX Runtime, OpenVINO and NNCF from writing to the home folder and from sending reports.

    To be called before one of them is imported. ONNX Runtime (from 1.31 on) asks the environment; OpenVINO
    and NNCF do without the package ``openvino_telemetry`` where it cannot be imported.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # how Python says "not there"
