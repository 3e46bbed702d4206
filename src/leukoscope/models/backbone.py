"""Any network of timm as a backbone, and SqueezeNet 1.1, under a head of ours.

timm: R. Wightman, "PyTorch Image Models", Apache-2.0; what its weights may be used for stands in
``timm.get_pretrained_cfg(NAME).license``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Literal, cast

import timm
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from leukoscope.core.config import nearest
from leukoscope.errors import ConfigError, TrainingError, UsageError
from leukoscope.models import hub
from leukoscope.models.base import (
    CellNetwork,
    MeanPoolHead,
    Outputs,
    Score,
    architectures,
    scaling,
)
from leukoscope.models.heads import DeepHead
from leukoscope.recipes.schema import Normalisation

SMALLEST = {"inception_v3": 75, "inception_v4": 75, "inception_resnet_v2": 75}
"""Side below which a network's maps vanish; smaller cells get a black margin. The number is Keras's."""
SQUEEZENET_MEAN = (123.68, 116.779, 103.939)


class Backbone(CellNetwork):
    """A network of timm without its classifier, its own pooling, and a score or the deep head.

    Args:
        name: timm's name, with or without the tag of its weights, such as ``resnet50`` or
            ``resnet50.a1_in1k``.
        num_classes: K.
        size: side of the cells, S.
        head: ``score``, one layer on the pooled features, or ``deep``, see
            :class:`~leukoscope.models.heads.DeepHead`.
        head_arguments: of the deep head.
        normalise: ``own`` is what timm's weights of that name were trained with.
        arguments: of ``timm.create_model``, such as ``drop_path_rate``.

    Raises:
        ConfigError: when timm does not take an argument.
    """

    def __init__(
        self,
        name: str,
        num_classes: int = 2,
        *,
        size: int,
        head: Literal["score", "deep"] = "score",
        head_arguments: Mapping[str, Any] | None = None,
        normalise: Normalisation = "own",
        **arguments: Any,
    ) -> None:
        super().__init__()
        self.num_classes, self.name, self.arguments = num_classes, name, arguments
        self.side = max(size, SMALLEST.get(name.split(".", maxsplit=1)[0], 0))
        self.margin = self.side - size
        self.backbone = self._build(pretrained=False)
        cfg = self.backbone.pretrained_cfg
        self.scaling = scaling(normalise, (cfg["mean"], cfg["std"]))
        width = int(self.backbone.num_features if self._is_vgg else self.backbone.head_hidden_size)
        if head not in ("score", "deep"):
            raise ConfigError(
                f"the head is 'score' or 'deep'. Received: '{head}'", hint="set model.arguments"
            )
        deep = DeepHead(width, num_classes, **(head_arguments or {})) if head == "deep" else None
        self.head: DeepHead | Score = deep or Score(width, num_classes)
        self.has_map = deep is None and self._pools_by_mean(width)

    def _build(self, *, pretrained: bool) -> Any:
        cfg = timm.get_pretrained_cfg(self.name, allow_unregistered=True)
        sized = {"img_size": self.side} if cfg is not None and cfg.fixed_input_size else {}
        made = timm.create_model(self.name, pretrained=pretrained, num_classes=0, **(sized | self.arguments))
        if hasattr(made, "pre_logits") and hasattr(made, "features"):
            made.pre_logits = nn.Identity()  # VGG: two dense layers of 4,096 units belong to its classifier
        return made

    @property
    def _is_vgg(self) -> bool:
        return hasattr(self.backbone, "pre_logits") and hasattr(self.backbone, "features")

    def _pools_by_mean(self, width: int) -> bool:
        """Whether the pooled features are the means of the maps, so that there is a class map."""
        parameter = next(self.backbone.parameters())
        if parameter.is_meta:
            return False
        maps = torch.rand(2, width, 2, 2, generator=torch.Generator().manual_seed(0))
        training = self.backbone.training
        self.backbone.eval()
        try:
            pooled = self.backbone.forward_head(maps, pre_logits=True)
            return bool(pooled.shape == (2, width) and torch.allclose(pooled, maps.mean((2, 3)), atol=1e-6))
        except (RuntimeError, ValueError, IndexError, AssertionError, TypeError):
            return False  # its head takes no such maps
        finally:
            self.backbone.train(training)

    @property
    def trunk(self) -> nn.Module:
        """The network of timm."""
        return cast(nn.Module, self.backbone)

    def scale(self, pixels: Tensor) -> Tensor:
        """As the weights expect it, or as ``normalise`` says."""
        if self.margin:
            half = self.margin // 2
            pixels = functional.pad(pixels, (half, self.margin - half) * 2)
        return super().scale(pixels)

    def encode(self, pixels: Tensor) -> Tensor:
        """(N, D): pooled features."""
        return self._pool(self.backbone.forward_features(self.scale(pixels)))

    def _pool(self, maps: Tensor) -> Tensor:
        return cast(Tensor, self.backbone.forward_head(maps, pre_logits=True))

    def decide(self, features: Tensor) -> Outputs:
        """Outputs for pooled features."""
        if isinstance(self.head, DeepHead):
            logits, penalty = self.head(features)
            return Outputs(logits, features, penalty=penalty)
        return Outputs(self.head(features), features)

    def read(self, pixels: Tensor) -> Outputs:
        """Outputs for pixels (N, 3, S, S)."""
        maps = self.backbone.forward_features(self.scale(pixels))
        outputs = self.decide(self._pool(maps))
        return outputs if self.training or not self.has_map else outputs._replace(cam=self._map(maps))

    def _map(self, maps: Tensor) -> Tensor:
        score = cast(Score, self.head)
        return score.with_zero(functional.conv2d(maps, score.linear.weight[:, :, None, None]))

    def start_from_hub(self) -> None:
        """Take the weights that the model hub keeps under this name, from this disk if they are there.

        Raises:
            TrainingError: when timm has none, or the hub cannot be reached.
        """
        here = hub.cached(self.name)
        if here is not None and here.suffix == ".safetensors":
            self.start_from(load_file(here), torch.empty(0))
            return
        if here is None:
            hub.check_reachable(self.name)
        try:
            given = self._build(pretrained=True)
        except Exception as error:  # the hub's client raises whatever its layers raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise TrainingError(f"timm could not get them: {reason}") from None
        self.backbone.load_state_dict(given.state_dict())

    def start_from(self, weights: Mapping[str, Tensor], pixels: Tensor) -> None:
        """Take over weights of this whole network, or of the backbone alone under timm's names.

        timm's own filter for the network is applied first: it knows older names, and how position
        embeddings of another image size are brought to this one.

        Raises:
            TrainingError: when a tensor of the backbone is missing or of another shape.
        """
        if any(name.startswith("backbone.") for name in weights):
            super().start_from(weights, pixels)
            return
        given = dict(weights)
        translate = getattr(sys.modules[type(self.backbone).__module__], "checkpoint_filter_fn", None)
        if translate is not None:
            given = translate(given, self.backbone)
        own = self.backbone.state_dict()
        unfit = [name for name in own if name not in given or given[name].shape != own[name].shape]
        if unfit:
            raise TrainingError(
                f"these are no weights of {self.name}: '{unfit[0]}' is missing or of another shape "
                f"({len(unfit)} of {len(own)} tensors)"
            )
        self.backbone.load_state_dict({name: given[name] for name in own})


@architectures.add("squeezenet1_1")
class SqueezeNet(CellNetwork):
    """SqueezeNet 1.1 (Iandola et al. 2016) as torchvision builds it, mean pooling, one linear layer.

    Args:
        num_classes: K.
        size: side of the cells; any from 32.
        dropout: before the last layer.
        normalise: ``own`` takes ImageNet's mean colour from pixels 0..255 and divides by nothing, as
            keras-squeezenet did; ``imagenet`` is for torchvision's weights.
    """

    def __init__(
        self, num_classes: int = 2, *, size: int, dropout: float = 0.0, normalise: Normalisation = "own"
    ) -> None:
        super().__init__()
        if size < 32:
            raise ConfigError(
                f"squeezenet1_1 reads cells of at least 32 pixels. Received: {size}",
                hint="set preprocess.size",
            )
        self.num_classes = num_classes
        own = ([m / 255 for m in SQUEEZENET_MEAN], [1 / 255] * 3)
        self.scaling = scaling(normalise, own)
        self.features = torchvision.models.squeezenet1_1(weights=None).features
        self.head = MeanPoolHead(num_classes, dropout, torch.ones(512))

    @property
    def trunk(self) -> nn.Module:
        """Stem and fire modules."""
        return cast(nn.Module, self.features)

    def encode(self, pixels: Tensor) -> Tensor:
        """(N, 512, h, w): the last module's maps."""
        return cast(Tensor, self.features(self.scale(pixels)))

    def decide(self, features: Tensor) -> Outputs:
        """Outputs for the last module's maps."""
        return cast(Outputs, self.head(features))

    def start_from(self, weights: Mapping[str, Tensor], pixels: Tensor) -> None:
        """Take over weights of this whole network, or ``features.*`` of torchvision's names alone.

        Raises:
            TrainingError: when a tensor is missing or of another shape.
        """
        if "head.linear.weight" in weights:
            super().start_from(weights, pixels)
            return
        own = {f"features.{name}": value for name, value in self.features.state_dict().items()}
        unfit = [name for name in own if name not in weights or weights[name].shape != own[name].shape]
        if unfit:
            raise TrainingError(
                f"these are no weights of squeezenet1_1: '{unfit[0]}' is missing or of another shape"
            )
        self.load_state_dict({name: weights[name] for name in own}, strict=False)


def is_backbone(name: str) -> bool:
    """Whether timm has a network of that name."""
    return bool(timm.is_model(name.split(".", maxsplit=1)[0]))


def unknown_network(name: str) -> UsageError:
    """The error for a name that neither we nor timm know."""
    guess = nearest(name, [*architectures, *timm.list_models()])
    hint = f"did you mean '{guess}'?" if guess else f"ours: {', '.join(architectures)}; or any of timm's"
    return UsageError(f"there is no architecture '{name}'", hint=hint)
