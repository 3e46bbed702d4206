"""Leukoscope finds leukaemic blasts in blood-smear microscopy. Research use only, not for diagnosis.

Public names are loaded on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from leukoscope.errors import LeukoscopeError as LeukoscopeError
    from leukoscope.inference.predictor import Predictor as Predictor
    from leukoscope.inference.predictor import load as load
    from leukoscope.inference.results import CellResult as CellResult

_HOMES = {
    "load": "leukoscope.inference.predictor",
    "Predictor": "leukoscope.inference.predictor",
    "CellResult": "leukoscope.inference.results",
    "LeukoscopeError": "leukoscope.errors",
}

__all__ = ["CellResult", "LeukoscopeError", "Predictor", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'leukoscope' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
