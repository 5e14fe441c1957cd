"""Security schemes and requirements as the rest of the sandbox may rely on them."""

from __future__ import annotations

from typing import Any, Final

from sandbox.defect import shown
from sandbox.pointer import escape, reference
from sandbox.walk import Walk

_SCHEMES: Final = ("apiKey", "http", "oauth2", "openIdConnect", "mutualTLS")
_FLOWS: Final = {
    "implicit": ("authorizationUrl",),
    "password": ("tokenUrl",),
    "clientCredentials": ("tokenUrl",),
    "authorizationCode": ("authorizationUrl", "tokenUrl"),
}


class SecurityMender:
    """Mends the security of the document that is walked.

    Attributes:
        known: The names of the schemes that can be used; None until they have been looked at.
    """

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self.known: frozenset[str] | None = None

    def scheme(self, node: Any, pointer: str) -> bool:
        """Whether a security scheme can be used."""
        target = reference(node)
        if target is not None:
            return self._walk.problem(target) is None
        if not isinstance(node, dict):
            self._walk.note(
                pointer, f"a security scheme must be an object, not {shown(node)}; it is ignored", "mend it"
            )
            return False
        kind = next((one for one in _SCHEMES if one.lower() == str(node.get("type")).lower()), None)
        if kind is None:
            what = f"{shown(node.get('type'))} is no type of a security scheme; it is ignored"
            self._walk.note(f"{pointer}/type", what, f"one of {', '.join(_SCHEMES)}")
            return False
        node["type"] = kind
        if kind == "apiKey" and not (
            isinstance(node.get("name"), str) and node.get("in") in ("header", "query", "cookie")
        ):
            self._walk.note(pointer, "an apiKey needs 'name' and 'in'; it is ignored", "in: header, query or cookie")
            return False
        if kind == "http" and not isinstance(node.get("scheme"), str):
            self._walk.note(pointer, "a http scheme without 'scheme'; taken as bearer", "add scheme: bearer or basic")
            node["scheme"] = "bearer"
        if kind == "oauth2":
            self._flows(node, pointer)
        return True

    def _flows(self, node: dict[str, Any], pointer: str) -> None:
        flows = self._walk.object(node, "flows", pointer) or {}
        for name in list(flows):
            flow = flows[name]
            if name.startswith("x-"):
                continue
            if name not in _FLOWS or not isinstance(flow, dict):
                self._walk.note(
                    f"{pointer}/flows/{escape(name)}", f"{name} is no flow of OAuth2; it is ignored", "mend it"
                )
                del flows[name]
            else:
                missing = [field for field in _FLOWS[name] if not isinstance(flow.get(field), str)]
                for field in missing:
                    flow.pop(field, None)
                    self._walk.note(f"{pointer}/flows/{name}", f"the flow has no {field}", f"add {field}")
        node["flows"] = flows

    def requirements(self, owner: dict[str, Any], pointer: str) -> None:
        if "security" not in owner:
            return
        known = self.known
        if known is None:
            self._walk.listed(owner, "security", pointer)
            return
        kept: list[Any] = []
        for index, requirement in enumerate(self._walk.listed(owner, "security", pointer)):
            at = f"{pointer}/security/{index}"
            if not isinstance(requirement, dict):
                self._walk.note(
                    at, f"a requirement must be an object, not {shown(requirement)}; it is ignored", "- name: []"
                )
                continue
            for name in [name for name in requirement if name not in known]:
                what = f"the security scheme {name} is not declared; it is not asked for"
                self._walk.note(at, what, "declare it in components.securitySchemes")
                del requirement[name]
                if not requirement:
                    break
            else:
                kept.append(requirement)
        if "security" in owner:
            owner["security"] = kept
