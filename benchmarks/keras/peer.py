"""The documents' way: Keras on TensorFlow, one epoch whenever it is asked for one.

    keras/.venv/bin/python keras/peer.py JOB.json

Runs in an environment of its own (``requirements.lock``) and knows nothing of Leukoscope. JOB.json holds
``recipe`` (the recipe's values), ``phase`` (its number), ``cells`` (a folder with a folder of BMP files for
each of two classes) and ``reads``: ``every epoch``, through ImageDataGenerator, ``once``, into an array, or
nothing, to say only how many parameters there are. The program prints a line of JSON when it is ready, and
after each line ``epoch`` on its standard input the seconds that an epoch took.
"""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow
from tensorflow.keras.preprocessing.image import ImageDataGenerator, img_to_array, load_img

import keras

FILL = {"black": "constant", "edge": "nearest", "mirror": "reflect"}
CLASSES = ("hem", "all")
Values = dict[str, Any]


def plain_cnn(recipe: Values) -> keras.Model:
    """Stages of convolutions with max pooling behind each, dense layers with dropout, one sigmoid."""
    numbers = recipe["model"]["arguments"]
    size, kernel = recipe["preprocess"]["size"], numbers.get("kernel_size", 3)
    l2 = keras.regularizers.L2(numbers["l2"]) if numbers.get("l2") else None
    layers = [keras.Input((size, size, 3))]
    for stage in numbers["stages"]:
        for filters in stage:
            layers.append(
                keras.layers.Conv2D(filters, kernel, padding="same", activation="relu", kernel_regularizer=l2)
            )
        layers.append(keras.layers.MaxPooling2D())
        if numbers.get("pooled_dropout"):
            layers.append(keras.layers.Dropout(numbers["pooled_dropout"]))
    layers.append(keras.layers.Flatten())
    for units in numbers.get("dense", ()):
        layers.append(keras.layers.Dense(units, activation="relu", kernel_regularizer=l2))
        if numbers.get("dropout"):
            layers.append(keras.layers.Dropout(numbers["dropout"]))
    layers.append(keras.layers.Dense(1, activation="sigmoid", kernel_regularizer=l2))
    return keras.Sequential(layers)


def resnet50(recipe: Values, frozen: list[str]) -> keras.Model:
    """Keras's ResNet50 with random weights, mean pooling, one sigmoid; ``frozen`` has timm's names."""
    size = recipe["preprocess"]["size"]
    base = keras.applications.ResNet50(
        include_top=False, weights=None, pooling="avg", input_shape=(size, size, 3)
    )
    prefixes = tuple(prefix for name in frozen for prefix in layers_of(name))
    base.trainable = "" not in prefixes
    for layer in base.layers if base.trainable and prefixes else ():
        layer.trainable = not layer.name.startswith(prefixes)
    return keras.Sequential([keras.Input((size, size, 3)), base, keras.layers.Dense(1, activation="sigmoid")])


def layers_of(name: str) -> list[str]:
    """What the names of Keras's layers begin with, for a part of timm's ResNet50."""
    name = name.removeprefix("backbone").removeprefix(".")
    if name in ("conv1", "bn1"):
        return ["conv1_"]
    found = re.fullmatch(r"layer([1-4])(?:\.([0-9]+))?", name)
    if found is None:
        return [name]
    stage, block = int(found[1]) + 1, found[2]
    return [f"conv{stage}_" if block is None else f"conv{stage}_block{int(block) + 1}_"]


def optimiser(training: Values, rate: float) -> keras.optimizers.Optimizer:
    kinds = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "adamax": keras.optimizers.Adamax,
    }
    if training["optimiser"] == "sgd":
        momentum = training["momentum"]
        return keras.optimizers.SGD(rate, momentum=momentum, nesterov=momentum > 0)
    return kinds[training["optimiser"]](rate)


def build(recipe: Values, phase: int) -> keras.Model:
    training = recipe["training"]
    phases = [training, *training["later_phases"]]
    chosen = phases[phase]
    made = plain_cnn(recipe) if recipe["model"]["name"] == "plain-cnn" else resnet50(recipe, chosen["freeze"])
    made.compile(optimiser(training, chosen["learning_rate"]), "binary_crossentropy", metrics=["accuracy"])
    return made


def generator(augmentation: Values) -> ImageDataGenerator:
    """Keras's generator with the variations of the recipe that it has."""
    settings = {
        "rotation_range": augmentation["rotation"],
        "horizontal_flip": augmentation["flip"],
        "vertical_flip": augmentation["vertical_flip"],
        "width_shift_range": augmentation["shift"],
        "height_shift_range": augmentation["shift"],
        "zoom_range": augmentation["scale"],
        "shear_range": float(np.degrees(augmentation["shear"])),
        "fill_mode": FILL[augmentation["fill"]],
    }
    if augmentation["brightness"]:
        settings["brightness_range"] = (1 - augmentation["brightness"], 1 + augmentation["brightness"])
    return ImageDataGenerator(rescale=1 / 255, **settings)


def varies(augmentation: Values) -> bool:
    moves = ("rotation", "flip", "vertical_flip", "shift", "scale", "shear", "brightness")
    return any(augmentation[name] for name in moves)


def source(job: Values) -> Values:
    """What ``fit`` takes: batches read from files every epoch, or arrays, varied or not."""
    recipe = job["recipe"]
    size, batch = recipe["preprocess"]["size"], recipe["training"]["batch_size"]
    if job["reads"] == "every epoch":
        files = generator(recipe["augmentation"]).flow_from_directory(
            job["cells"], (size, size), classes=list(CLASSES), class_mode="binary", batch_size=batch
        )
        return {"x": files}
    paths = [
        (path, label) for label, name in enumerate(CLASSES) for path in Path(job["cells"], name).iterdir()
    ]
    x = np.stack([img_to_array(load_img(path, target_size=(size, size))) for path, _ in paths])
    y = np.array([label for _, label in paths], "float32")
    if varies(recipe["augmentation"]):
        return {"x": generator(recipe["augmentation"]).flow(x, y, batch_size=batch)}
    x /= 255
    return {"x": x, "y": y, "batch_size": batch}


def say(**found: object) -> None:
    print(json.dumps(found), file=replies, flush=True)


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    model = build(job["recipe"], job["phase"])
    trained = sum(int(np.prod(value.shape)) for value in model.trainable_variables)
    started = time.perf_counter()
    given = source(job) if job["reads"] else {}
    say(
        once_seconds=time.perf_counter() - started,
        trained=trained,
        parameters=int(model.count_params()),
        versions={"tensorflow": tensorflow.__version__, "keras": keras.__version__},
    )
    for epoch, line in enumerate(sys.stdin):
        if line.strip() != "epoch":
            break
        started = time.perf_counter()
        model.fit(**given, initial_epoch=epoch, epochs=epoch + 1, verbose=0)
        say(seconds=time.perf_counter() - started)


if __name__ == "__main__":
    replies, sys.stdout = sys.stdout, sys.stderr
    main()
