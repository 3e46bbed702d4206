"""``leukoscope doctor``: what is installed, what it can do, what is missing and how to get it."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from typing import Any

from leukoscope.cli.failures import FAILED
from leukoscope.cli.output import Json, print_json, print_table

BASE = (
    "numpy",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "Pillow",
    "opencv-python-headless",
    "polars",
    "pydantic",
    "PyYAML",
    "typer",
    "rich",
    "jinja2",
    "onnxruntime",
    "threadpoolctl",
)
EXTRAS = {
    "train": ("torch", "torchvision", "timm", "lightning", "onnx", "safetensors"),
    "explain": ("torch", "torchvision", "timm", "onnx", "safetensors", "captum"),
    "adapters": ("peft",),
    "openvino": ("openvino",),
    "int8": ("nncf", "onnx"),
    "scale": ("ray", "fsspec", "pyarrow"),
    "serve": (
        "fastapi",
        "uvicorn",
        "httptools",
        "sqlalchemy",
        "alembic",
        "argon2-cffi",
        "python-multipart",
        "reportlab",
    ),
    "postgres": ("psycopg",),
    "mlflow": ("mlflow-skinny", "sqlalchemy", "alembic"),
    "fetch": ("kagglehub",),
}
"""Packages of the base installation and of each extra, as in ``pyproject.toml``."""

PURPOSES = {
    "train": "training, the backend torch",
    "explain": "maps by gradients, and of networks with random weights",
    "adapters": "low-rank adapters, model.lora",
    "openvino": "the backend openvino",
    "int8": "leukoscope export --int8",
    "scale": "leukoscope predict --engine ray",
    "serve": "the review room: leukoscope serve, leukoscope audit",
    "postgres": "the review room on PostgreSQL",
    "mlflow": "leukoscope study --tracker mlflow",
    "fetch": "leukoscope data fetch",
}


@dataclass(frozen=True)
class Package:
    """One package: its version, None where it is missing; ``extra`` is empty for the base installation."""

    name: str
    version: str | None
    extra: str


@dataclass(frozen=True)
class Device:
    """Something that computes: ``cpu``, ``cuda:0``, ``mps``."""

    name: str
    detail: str


@dataclass(frozen=True)
class Backend:
    """A program that runs models: its state, and how to get it where it is missing."""

    name: str
    available: bool
    detail: str


@dataclass(frozen=True)
class Examination:
    """What :func:`examine` found.

    Attributes:
        missing: how to get what is not installed, by extra (``base`` for what must be there).
    """

    leukoscope: str
    python: str
    platform: str
    packages: list[Package]
    devices: list[Device]
    backends: list[Backend]
    starter: str
    cache: str
    missing: dict[str, str]

    @property
    def holds(self) -> bool:
        """Whether the base installation is whole."""
        return "base" not in self.missing

    def to_json(self) -> dict[str, Any]:
        """Everything in it, ready for ``json.dumps``."""
        return {"holds": self.holds, **asdict(self)}


def examine() -> Examination:
    """Look at this installation and this machine."""
    from leukoscope import __version__

    packages = [Package(name, _version(name), "") for name in BASE]
    packages += [Package(name, _version(name), extra) for extra, names in EXTRAS.items() for name in names]
    return Examination(
        leukoscope=__version__,
        python=f"{platform.python_version()}, {sys.executable}",
        platform=platform.platform(),
        packages=packages,
        devices=_devices(),
        backends=_backends(),
        starter=_starter(),
        cache=_cache(),
        missing=_missing(packages),
    )


def doctor(as_json: Json = False) -> int:
    """Say what is installed and what is missing.

    Exit code 1 if a package of the base installation is missing.
    """
    found = examine()
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)
    return 0 if found.holds else FAILED


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _missing(packages: list[Package]) -> dict[str, str]:
    lacking = {package.extra or "base" for package in packages if package.version is None}
    commands = {"base": "pip install leukoscope"} | {
        extra: f'pip install "leukoscope[{extra}]"' for extra in EXTRAS
    }
    return {extra: command for extra, command in commands.items() if extra in lacking}


def _devices() -> list[Device]:
    from leukoscope.core.parallel import num_cpus

    memory = f", {_memory() / 2**30:.0f} GiB memory" if _memory() else ""
    return [Device("cpu", f"{num_cpus()} processors{memory}"), *_accelerators()]


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _accelerators() -> list[Device]:
    try:
        import torch
    except Exception:  # a broken installation of it raises anything; it is optional here
        return []
    found = [
        Device(f"cuda:{place}", torch.cuda.get_device_name(place))
        for place in range(torch.cuda.device_count())
    ]
    return found + ([Device("mps", "Apple GPU")] if torch.backends.mps.is_available() else [])


def _backends() -> list[Backend]:
    return [_onnxruntime(), _openvino(), _torch()]


def _onnxruntime() -> Backend:
    from leukoscope.core.runtimes import import_onnxruntime

    try:
        onnxruntime = import_onnxruntime()
    except Exception as error:  # its libraries may be missing, in ways that depend on the system
        return Backend("onnxruntime", False, f"does not load: {error}")
    return Backend("onnxruntime", True, ", ".join(onnxruntime.get_available_providers()))


def _openvino() -> Backend:
    from leukoscope.core.runtimes import import_openvino

    if _version("openvino") is None:
        return Backend("openvino", False, 'pip install "leukoscope[openvino]"')
    try:
        openvino = import_openvino()
        return Backend("openvino", True, ", ".join(openvino.Core().available_devices))
    except Exception as error:  # as above
        return Backend("openvino", False, f"does not load: {error}")


def _torch() -> Backend:
    if _version("torch") is None:
        return Backend("torch", False, 'pip install "leukoscope[train]"')
    try:
        import torch
    except Exception as error:  # as above
        return Backend("torch", False, f"does not load: {error}")
    return Backend("torch", True, f"{torch.get_num_threads()} threads")


def _starter() -> str:
    from leukoscope.bundle.read import open_bundle
    from leukoscope.errors import BundleError

    try:
        opened = open_bundle("starter")
    except BundleError as error:
        return error.message
    return f"{opened.info.name}, bundle {opened.bundle_id}"


def _cache() -> str:
    from leukoscope.core.files import cache_folder

    return str(cache_folder())


def _print(found: Examination) -> None:
    print(f"leukoscope {found.leukoscope}, Python {found.python}, {found.platform}")
    rows = [(one.name, one.version or "missing", one.extra or "base") for one in found.packages]
    print_table(("package", "version", "needed by"), rows)
    print_table(("device", ""), [(device.name, device.detail) for device in found.devices])
    rows = [(one.name, "ready" if one.available else "missing", one.detail) for one in found.backends]
    print_table(("backend", "", ""), rows)
    print(f"starter bundle: {found.starter}")
    print(f"cache of prepared cells: {found.cache}")
    for extra, command in found.missing.items():
        print(f"missing: {PURPOSES.get(extra, 'Leukoscope itself')}; get it with: {command}")
