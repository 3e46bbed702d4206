"""Which of the processes of a fit this one is."""

from __future__ import annotations

from lightning.fabric.plugins import ClusterEnvironment

from leukoscope.training.job import Hardware


class Place(ClusterEnvironment):
    """Which process this is, in the form in which Lightning asks for it; Lightning starts none itself.

    Args:
        hardware: of this machine.
        number: of this process on this machine, from 0.
    """

    def __init__(self, hardware: Hardware, number: int) -> None:
        super().__init__()
        self.hardware, self.number = hardware, number

    creates_processes_externally = True

    @property
    def main_address(self) -> str:
        """Of the first machine."""
        return self.hardware.address

    @property
    def main_port(self) -> int:
        """Of the store."""
        return self.hardware.port

    @staticmethod
    def detect() -> bool:
        """Never by itself."""
        return False

    def world_size(self) -> int:
        """All processes."""
        return self.hardware.num_processes

    def set_world_size(self, size: int) -> None:
        """It is known."""

    def global_rank(self) -> int:
        """Among all processes."""
        return self.hardware.node * self.hardware.devices + self.number

    def set_global_rank(self, rank: int) -> None:
        """It is known."""

    def local_rank(self) -> int:
        """Among those of this machine."""
        return self.number

    def node_rank(self) -> int:
        """Of this machine."""
        return self.hardware.node
