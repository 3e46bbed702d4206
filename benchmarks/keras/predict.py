"""The documents' way to predict: Keras over image_dataset_from_directory, to a CSV of probabilities.

    keras/.venv/bin/python keras/predict.py WEIGHTS.safetensors FOLDER OUT.csv

The network is the bundle's ResNet50 (resnet50.py), files are resized to 224, batches are of 32. Prints a line
of JSON: ``batches``, how many cells each had and when it ended, and ``written``, when the CSV was there;
seconds of one clock.
"""

import csv
import json
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow
from resnet50 import resnet50, take_weights

import keras

SIZE, BATCH = 224, 32


class Watch(keras.callbacks.Callback):
    """When each batch ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_predict_batch_end(self, batch: int, logs: object = None) -> None:
        self.ends.append(time.perf_counter())


def main() -> None:
    weights, folder, out = sys.argv[1:]
    model = resnet50(SIZE)
    take_weights(model, weights)
    files = keras.utils.image_dataset_from_directory(
        folder, labels=None, image_size=(SIZE, SIZE), batch_size=BATCH, shuffle=False, verbose=False
    )
    watch = Watch()
    logits = model.predict(files, verbose=0, callbacks=[watch])[:, 0]
    with Path(out).open("w", newline="") as target:
        rows = csv.writer(target)
        rows.writerow(["path", "blast_probability"])
        rows.writerows(zip(files.file_paths, (1 / (1 + np.exp(-logits))).tolist(), strict=True))
    written = time.perf_counter()
    sizes = [min(BATCH, len(logits) - start) for start in range(0, len(logits), BATCH)]
    versions = {"tensorflow": tensorflow.__version__, "keras": keras.__version__}
    batches = list(zip(sizes, watch.ends, strict=True))
    print(json.dumps({"batches": batches, "written": written, "versions": versions}), file=reply)


if __name__ == "__main__":
    reply, sys.stdout = sys.stdout, sys.stderr
    main()
