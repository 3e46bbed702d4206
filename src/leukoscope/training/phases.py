"""The phases of a fit: which parts of the network are kept as they are, and until when."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from leukoscope.core.config import nearest
from leukoscope.errors import ConfigError
from leukoscope.models.base import CellNetwork
from leukoscope.recipes.schema import Augmentation, Phase


def phase_of(phases: Sequence[Phase], epoch: int) -> int:
    """Which phase an epoch (from 0) belongs to; what comes behind the last one belongs to it.

    >>> two = [Phase(epochs=2, learning_rate=0.1), Phase(epochs=1, learning_rate=0.01)]
    >>> [phase_of(two, epoch) for epoch in range(5)]
    [0, 0, 1, 1, 1]
    """
    for number, phase in enumerate(phases[:-1]):
        epoch -= phase.epochs
        if epoch < 0:
            return number
    return len(phases) - 1


class Phases:
    """Freezes and thaws the parts of a network as the phases of its recipe say.

    What is frozen keeps its weights and its batch-norm statistics. Weights that were there before, adapters'
    bases, stay frozen whatever a phase says.

    Args:
        network: with its starting weights; changed by :meth:`enter`.
        phases: in order.
        augmentation: where it is off, and a phase freezes the whole trunk, the trunk's answers can be kept.
        started: whether the weights were given; random ones are never frozen.

    Attributes:
        learnt: parameters that at least one phase trains.
        remembered: of each phase, whether the trunk's answers can be kept.
        thaws: whether a phase freezes what another one trains.

    Raises:
        ConfigError: when a phase names a part that the network does not have.
    """

    def __init__(
        self, network: CellNetwork, phases: Sequence[Phase], augmentation: Augmentation, *, started: bool
    ) -> None:
        self.phases, self.network, self.now = phases, network, 0
        self._frozen = [
            [part_of(network, name) for name in phase.freeze] if started else [] for phase in phases
        ]
        trainable = {id(p) for p in network.parameters() if p.requires_grad}
        self._adapted = len(trainable) < sum(1 for _ in network.parameters())
        held = [{id(p) for part in parts for p in part.parameters()} for parts in self._frozen]
        always = set.intersection(*held)
        self.learnt = [p for p in network.parameters() if id(p) in trainable and id(p) not in always]
        self._thawable = [p for p in network.parameters() if id(p) in trainable]
        self.thaws = any(id(p) in frozen for frozen in held for p in self.learnt)
        trunk = {id(p) for p in network.trunk.parameters()}
        self.remembered = [augmentation.is_off and trunk <= frozen for frozen in held]

    def remembers(self, epoch: int) -> bool:
        """Whether the trunk's answers of before hold in this epoch."""
        return self.remembered[phase_of(self.phases, epoch)]

    def enter(self, epoch: int) -> None:
        """Freeze and thaw for an epoch (from 0)."""
        self.now = phase_of(self.phases, epoch)
        for parameter in self._thawable:
            parameter.requires_grad_(True)
        for part in self._frozen[self.now]:
            part.requires_grad_(False)

    def settle(self) -> None:
        """Put what is frozen into evaluation mode; to be called whenever the mode of the network was set."""
        for part in self._frozen[self.now]:
            part.eval()
        if self._adapted:
            for part in self.network.trunk.modules():
                if isinstance(part, _BatchNorm):
                    part.eval()


def part_of(network: CellNetwork, name: str) -> nn.Module:
    """The part of the network with that name, such as ``features.3``.

    Raises:
        ConfigError: when there is none.
    """
    try:
        return network.get_submodule(name)
    except AttributeError:
        known = [part for part, _ in network.named_modules() if part]
        guess = nearest(name, known)
        raise ConfigError(
            f"training.freeze: {type(network).__name__} has no part '{name}'",
            hint=f"did you mean '{guess}'?" if guess else f"parts: {', '.join(known[:20])}",
        ) from None
