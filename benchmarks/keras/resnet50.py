"""The ResNet50 of a bundle in Keras: the same layers, the same weights.

``keras.applications.ResNet50`` is not the network of timm and torchvision: its blocks halve the picture in
their first convolution, not in the middle one, its convolutions have biases, its batch norm another epsilon.
So the network is built here, each layer under its name in the bundle's ``weights.safetensors``.
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

import keras
from keras import layers

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of colours in 0..1, as timm has them for its ResNet50."""
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Width and number of the blocks."""
EPSILON = 1e-5
COUNTERS = "num_batches_tracked"
"""What torch keeps beside the statistics of batch norm, and no answer depends on."""


def resnet50(size: int) -> keras.Model:
    """From pixels (N, size, size, 3) in 0..255, RGB, to the logit (N, 1) of the second class."""
    pixels = keras.Input((size, size, 3))
    scale, offset = 1 / (255 * np.array(DEVIATION)), -np.array(MEAN) / DEVIATION
    maps = layers.Rescaling(scale.tolist(), offset.tolist())(pixels)
    maps = layers.ReLU()(convolved(maps, "conv1", "bn1", 64, kernel=7, stride=2))
    maps = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(maps))  # nothing is below zero behind a ReLU
    for stage, (width, blocks) in enumerate(STAGES, start=1):
        for block in range(blocks):
            stride = 2 if stage > 1 and block == 0 else 1
            maps = bottleneck(maps, f"layer{stage}.{block}", width, stride, widened=block == 0)
    pooled = layers.GlobalAveragePooling2D()(maps)
    return keras.Model(pixels, layers.Dense(1, name="head.linear")(pooled))


def bottleneck(maps, name: str, width: int, stride: int, *, widened: bool):  # noqa: ANN001, ANN201
    """1x1, 3x3 with the stride, 1x1, added to the input, which is brought to that shape where it must be."""
    inner = layers.ReLU()(convolved(maps, f"{name}.conv1", f"{name}.bn1", width))
    inner = convolved(inner, f"{name}.conv2", f"{name}.bn2", width, kernel=3, stride=stride)
    inner = convolved(layers.ReLU()(inner), f"{name}.conv3", f"{name}.bn3", 4 * width)
    if widened:
        maps = convolved(maps, f"{name}.downsample.0", f"{name}.downsample.1", 4 * width, stride=stride)
    return layers.ReLU()(layers.Add()([inner, maps]))


def convolved(maps, name: str, norm: str, filters: int, *, kernel: int = 1, stride: int = 1):  # noqa: ANN001, ANN201
    """A convolution, with as many zeros on either side, and batch norm."""
    if kernel > 1:
        maps = layers.ZeroPadding2D(kernel // 2)(maps)
    maps = layers.Conv2D(filters, kernel, stride, use_bias=False, name=name)(maps)
    return layers.BatchNormalization(epsilon=EPSILON, name=norm)(maps)


def take_weights(model: keras.Model, path: Path | str) -> None:
    """Give every layer its weights; a name that is missing, or left over, is an error."""
    given = {
        name.removeprefix("backbone."): value
        for name, value in load_file(path).items()
        if not name.endswith(COUNTERS)
    }
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(weights_of(layer, given))
    if given:
        raise ValueError(f"{path}: Keras's ResNet50 has no place for {sorted(given)}")


def weights_of(layer: keras.layers.Layer, given: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What belongs to a layer, in Keras's order; taken out of ``given``."""
    kernel = given.pop(f"{layer.name}.weight")
    if isinstance(layer, layers.Conv2D):
        return [kernel.transpose(2, 3, 1, 0)]
    if isinstance(layer, layers.Dense):
        return [kernel.T, given.pop(f"{layer.name}.bias")]
    names = ("bias", "running_mean", "running_var")
    return [kernel, *(given.pop(f"{layer.name}.{name}") for name in names)]
