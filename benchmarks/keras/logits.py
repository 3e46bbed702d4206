"""The logits of Keras's ResNet50 for cells that are preprocessed already: for the test of the converter.

    keras/.venv/bin/python keras/logits.py WEIGHTS.safetensors CELLS.npy LOGITS.npy

CELLS is uint8 (N, S, S, 3), RGB; LOGITS float32 (N,), of the second class.
"""

import sys

import numpy as np
from resnet50 import resnet50, take_weights


def main() -> None:
    weights, cells_path, logits_path = sys.argv[1:]
    cells = np.load(cells_path)
    model = resnet50(cells.shape[1])
    take_weights(model, weights)
    np.save(logits_path, model.predict(cells.astype("float32"), verbose=0)[:, 0])


if __name__ == "__main__":
    main()
