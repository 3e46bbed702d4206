"""The model hub, as far as weights of timm's networks go: what is on this disk already, and can it be
reached?"""

from __future__ import annotations

from pathlib import Path

import timm

from leukoscope.errors import TrainingError

FILES = ("model.safetensors", "pytorch_model.bin")
SECONDS = 5.0
"""To wait for the hub's first answer; its own client tries again for a minute and a half."""


def repository(name: str) -> str:
    """Where the hub keeps the weights of one of timm's names; empty where it has none."""
    known = timm.get_pretrained_cfg(name)
    return str(known.hf_hub_id or "") if known is not None else ""


def cached(name: str) -> Path | None:
    """The file of weights that the hub left on this disk, if there is one."""
    from huggingface_hub import try_to_load_from_cache

    where = repository(name)
    found = (try_to_load_from_cache(where, file) for file in FILES if where)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def check_reachable(name: str) -> None:
    """Ask the hub once, and shortly.

    Raises:
        TrainingError: when there is no answer.
    """
    from huggingface_hub import get_session, hf_hub_url

    if not (where := repository(name)):
        return  # timm knows another address, or says that it has no weights
    try:
        get_session().head(hf_hub_url(where, FILES[0]), timeout=SECONDS)
    except Exception as error:  # whatever the hub's client raises
        reason = str(error).strip() or type(error).__name__
        raise TrainingError(f"the model hub cannot be reached: {reason.splitlines()[0]}") from None
