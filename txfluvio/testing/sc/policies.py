"""Who may do what at the SC: three policies, with the holes of the real ones.

The SC asks about creating and reading whole types only. It never asks about deleting, updating or
watching, nor about mirrors (``fluvio-sc/src/services/auth/``); SPUs ask nothing at all.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs


class Action(enum.Enum):
    """What the SC asks about, by the names that policy files use."""

    CREATE = "Create"
    READ = "Read"


class Policy(Protocol):
    """Decides for one SC."""

    @property
    def read_only(self) -> bool:
        """Whether the SC's topics come from a file, and neither they nor mirrors change."""
        ...

    @property
    def wants_names(self) -> bool:
        """Whether the SC hangs up on a client whose certificate has no common name."""
        ...

    def allows(self, principal: str, kind: str, action: Action) -> bool:
        """Whether ``principal``, the common name of a client's certificate, may do this.

        :param kind: the type as policy files name it, for example ``Topic`` or ``Spu``.
        """
        ...


@attrs.frozen
class Root:
    """Everybody may do everything: the default."""

    read_only: bool = attrs.field(default=False, init=False)
    wants_names: bool = attrs.field(default=False, init=False)

    def allows(self, principal: str, kind: str, action: Action) -> bool:
        return True


@attrs.frozen
class ReadOnly:
    """An SC started with read-only metadata: custom SPUs come and go, topics and mirrors stay.

    A real one has neither SmartModules nor table formats nor SPU groups, since nobody may create
    them; those that a fake has can be deleted.
    """

    read_only: bool = attrs.field(default=True, init=False)
    wants_names: bool = attrs.field(default=False, init=False)

    def allows(self, principal: str, kind: str, action: Action) -> bool:
        return action is Action.READ or kind == "CustomSpu"


@attrs.frozen
class Roles:
    """A scopes file and a policy file, in the shape of their JSON.

    :param scopes: the scopes of each common name; who is not listed has none.
    :param rules: for each scope, the actions (``Create``, ``Read``, ``All``) allowed on each kind
        (``Spu``, ``CustomSpu``, ``SpuGroup``, ``Topic``, ``Partition``, ``SmartModule``,
        ``TableFormat``, ``Mirror``). Scopes add up; one without rules is nothing.
    """

    scopes: Mapping[str, Sequence[str]]
    rules: Mapping[str, Mapping[str, Sequence[str]]]
    read_only: bool = attrs.field(default=False, init=False)
    wants_names: bool = attrs.field(default=True, init=False)

    def allows(self, principal: str, kind: str, action: Action) -> bool:
        for scope in self.scopes.get(principal, ()):
            allowed = self.rules.get(scope, {}).get(kind, ())
            if action.value in allowed or "All" in allowed:
                return True
        return False
