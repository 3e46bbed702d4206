"""What is OpenVINO's own; what it must do as every backend does is in the battery."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from leukoscope.bundle.read import open_bundle
from leukoscope.inference.backends import make_backend
from leukoscope.inference.openvino_backend import MOST_STREAMS, STEP

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")


def cells_of(num: int) -> np.ndarray:
    return np.random.default_rng(num).integers(0, 256, (num, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("threads", [1, 2, 3, 2 * MOST_STREAMS])
@pytest.mark.parametrize("num", [1, 2, STEP, 2 * STEP + 1, 5 * STEP])
def test_parts_come_back_in_order_however_many_work_on_them(tiny_bundle, threads, num):
    bundle, cells = open_bundle(tiny_bundle), cells_of(num)
    expected = make_backend(bundle, "onnxruntime").run(cells)
    outputs = make_backend(bundle, "openvino", threads=threads).run(cells)
    np.testing.assert_allclose(outputs.logits, expected.logits, atol=1e-5)
    np.testing.assert_allclose(outputs.embedding, expected.embedding, atol=1e-5)


def test_what_an_interrupted_run_left_is_in_nobodys_way(tiny_bundle):
    backend = make_backend(open_bundle(tiny_bundle), "openvino")
    expected = backend.run(cells_of(30)).logits
    for request in backend._requests:
        request.start_async([cells_of(500)], share_inputs=True)
    np.testing.assert_array_equal(backend.run(cells_of(30)).logits, expected)


def test_single_precision_is_forced(tiny_bundle):
    """Where the processor has bfloat16 the default is another."""
    backend = make_backend(open_bundle(tiny_bundle), "openvino")
    compiled = backend._requests[0].get_compiled_model()
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() in ("f32", "float32")
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


SIGNALLED = """
import signal, sys, threading
import numpy as np
from leukoscope.bundle.read import open_bundle
from leukoscope.inference.backends import make_backend

kept = [make_backend(open_bundle(sys.argv[1]), "openvino")]
kept[0].run(np.zeros((1, 32, 32, 3), np.uint8))
gone = threading.Thread(target=kept.clear)
gone.start()
gone.join()
signal.signal(signal.SIGINT, lambda *_: print("heard", flush=True))
signal.raise_signal(signal.SIGINT)
"""


def test_a_signal_after_a_model_has_gone_is_heard(tiny_bundle):
    """OpenVINO takes the stack for signals of the thread that compiled with it."""
    ran = subprocess.run(
        [sys.executable, "-c", SIGNALLED, str(tiny_bundle)], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "heard\n"), ran.stderr
