"""What a person has set for themselves: which key does what in the gallery and on the page of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy.orm import Session

from leukoscope.errors import UsageError
from leukoscope.review.audit import record
from leukoscope.review.auth.rights import Actor
from leukoscope.review.store.tables import User


class Action(NamedTuple):
    """Something that a key does.

    Attributes:
        key: without a setting; as a browser names it, in lower case, ``"space"`` for the blank.
        words: what it does, for a list of keys.
    """

    key: str
    words: str


ACTIONS = {
    "left": Action("arrowleft", "the cell before"),
    "right": Action("arrowright", "the next cell"),
    "up": Action("arrowup", "a row up"),
    "down": Action("arrowdown", "a row down"),
    "choose": Action("space", "choose the cell, or no longer"),
    "choose_all": Action("a", "choose all cells of the tab, or none"),
    "blast": Action("b", "call it blast"),
    "normal": Action("n", "call it normal"),
    "indeterminate": Action("i", "call it indeterminate"),
    "rejected": Action("r", "reject it: no cell to be judged"),
    "look": Action("enter", "look at the cell closely; back to the gallery"),
    "undo": Action("z", "take your last step back"),
    "blast_tab": Action("1", "the tab blast"),
    "normal_tab": Action("2", "the tab normal"),
    "indeterminate_tab": Action("3", "the tab indeterminate"),
    "rejected_tab": Action("4", "the tab rejected"),
    "help": Action("?", "the list of keys"),
}
"""All actions by name, in the order in which they are listed."""

NAMED_KEYS = {
    "space": "space",
    "enter": "enter",
    "arrowleft": "←",
    "arrowright": "→",
    "arrowup": "↑",
    "arrowdown": "↓",
    "backspace": "backspace",
    "delete": "delete",
    "home": "home",
    "end": "end",
    "pageup": "page up",
    "pagedown": "page down",
    **{f"f{number}": f"F{number}" for number in range(1, 13)},
}
"""Keys that are no letter, digit or sign, and how they are shown; Tab and Escape are the browser's."""


def keys_of(user: User) -> dict[str, str]:
    """The key of each action for this person, in the order of :data:`ACTIONS`."""
    own = (user.preferences or {}).get("keys", {})
    return {name: own.get(name, action.key) for name, action in ACTIONS.items()}


def shown_key(key: str) -> str:
    """A key as people read it.

    >>> shown_key("b"), shown_key("arrowleft"), shown_key("space")
    ('B', '←', 'space')
    """
    return NAMED_KEYS.get(key, key.upper())


def change_keys(session: Session, actor: Actor, changes: Mapping[str, str]) -> dict[str, str]:
    """Set the keys of this person's actions.

    Args:
        session: a writing one.
        actor: whose keys.
        changes: action -> key, any letters; an action that is not named keeps its key, an empty key brings
            back the usual one.

    Returns:
        All keys, as :func:`keys_of`.

    Raises:
        UsageError: for an unknown action, a key that is none, or one key for two actions; nothing is changed.
    """
    user = session.get_one(User, actor.user_id)
    before = keys_of(user)
    if unknown := sorted(set(changes) - set(ACTIONS)):
        raise UsageError(f"expected actions of {', '.join(ACTIONS)}. Received: {', '.join(unknown)}")
    after = before | {name: _key(name, typed) for name, typed in changes.items()}
    _check_once(after)
    if after != before:
        own = {name: key for name, key in after.items() if key != ACTIONS[name].key}
        user.preferences = {**(user.preferences or {}), "keys": own}
        changed = {name: key for name, key in after.items() if key != before[name]}
        record(session, actor.username, "keys changed", keys=changed)
    return after


def _key(action: str, typed: str) -> str:
    key = "space" if typed == " " else typed.strip().lower()
    if not key:
        return ACTIONS[action].key
    if key not in NAMED_KEYS and not (len(key) == 1 and key.isprintable()):
        raise UsageError(
            f"expected one letter, digit or sign, or one of {', '.join(NAMED_KEYS)}. Received: {typed!r}",
            hint=f"press the key that shall mean: {ACTIONS[action].words}",
        )
    return key


def _check_once(keys: Mapping[str, str]) -> None:
    taken = dict[str, str]()
    for name, key in keys.items():
        if key in taken:
            raise UsageError(
                f"the key '{shown_key(key)}' cannot mean two things: {ACTIONS[taken[key]].words}, and "
                f"{ACTIONS[name].words}",
                hint="give one of them another key",
            )
        taken[key] = name
