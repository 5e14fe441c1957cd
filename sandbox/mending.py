"""An OpenAPI document as the rest of the sandbox may rely on it, and what was wrong with the one that was written.

Published documents are never perfect. What is harmless is put right or left out, and noted. What leaves an operation
without a meaning (its request or its answer is described by nothing that can be found) takes down this operation alone.
The document is walked once, by what each object is; what references lead to is walked as what they stand for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from sandbox.alternatives import loosened
from sandbox.bundle import references
from sandbox.defect import Defect, shown
from sandbox.dialect import bases
from sandbox.naming import free_name
from sandbox.pointer import escape, join, reference
from sandbox.schema_cycles import break_cycles
from sandbox.schema_mending import SchemaMender
from sandbox.security_mending import SecurityMender
from sandbox.swagger import Upgrade, is_body, local, schema_of
from sandbox.walk import Walk

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_LOCATIONS: Final = ("path", "query", "header", "cookie")
_STATUS: Final = re.compile(r"[1-5](?:[0-9]{2}|XX)|default")
_TEMPLATE: Final = re.compile(r"\{([^{}]*)\}")
_BESIDE: Final = ("type", "format", "enum", "default", "items")
_STYLES: Final = ("matrix", "label", "form", "simple", "spaceDelimited", "pipeDelimited", "deepObject")
# The sections of `components` and what their members are.
_SECTIONS: Final = ("schemas", "parameters", "headers", "requestBodies", "responses", "callbacks", "pathItems")


class Mender(Walk):
    """Mends one document in place.

    Args:
        data: The document, with all its files in it.
        reasons: Reference -> why it cannot be followed.
        moved: Where parts of a 2.0 document came from; filled in.
    """

    def __init__(self, data: dict[str, Any], reasons: Mapping[str, str], moved: dict[str, tuple[str, str]]) -> None:
        super().__init__(data, reasons, moved)
        # By identity; kept, so that none is taken for another that came after it.
        self._done: dict[int, Any] = {}
        self._upgrade = None
        if "swagger" in data:
            self._upgrade = Upgrade(data, moved)
            for node in references(data):
                node["$ref"] = local(node["$ref"])
        modern = not str(data.get("openapi", "")).startswith("3.0")
        own = bases(data) if modern else {}
        turn = None if self._upgrade is None else schema_of
        self._schemas = SchemaMender(
            modern=modern, note=self.note, follow=self._follow_schema, expand=self.expanded, bases=own, turn=turn
        )
        self._security = SecurityMender(self)

    def run(self) -> list[Defect]:
        """Mend it all.

        Returns:
            What was found, in the order of the walk.
        """
        self._root()
        self._components()
        paths = self.object(self.data, "paths", "")
        if paths is None:
            if "webhooks" not in self.data:
                self.note("/paths", "the document has no paths, so nothing can be called", "add paths")
            paths = self.data["paths"] = {}
        elif not paths:
            self.note("/paths", "the paths are empty, so nothing can be called", "add operations")
        self._paths(paths)
        self._identify(paths)
        webhooks = self.object(self.data, "webhooks", "") or {}
        for name in list(webhooks):
            webhooks[name] = self._path_item(webhooks[name], join("webhooks", name))
        self.drain()
        for pointer, what in break_cycles(self.data, self.followed):
            self.note(pointer, what, "take the schema out of itself")
        for pointer, what in loosened(self.data, self._schemas.choices):
            self.note(pointer, what, "write anyOf, or say what tells them apart")
        return self.defects

    def _follow_schema(self, target: str, pointer: str) -> bool:
        return self.follow(target, pointer, self._schemas.schema)

    def _root(self) -> None:
        if "info" not in self.data:
            self.note("", "the document has no 'info'", "add info with title and version")
        self.data["info"] = self.object(self.data, "info", "") or {}
        self.listed(self.data, "servers", "")
        self._security.requirements(self.data, "")

    def _components(self) -> None:
        if "components" in self.data and self.object(self.data, "components", "") is None:
            self.data.pop("components", None)
        components: dict[str, Any] = self.data.setdefault("components", {})
        kinds: dict[str, Callable[[Any, str], Any]] = {
            "schemas": self._schemas.schema,
            "parameters": self._shared_parameter,
            "headers": self._header,
            "requestBodies": self._body,
            "responses": self._response,
            "callbacks": self._callback,
            "pathItems": self._path_item,
        }
        for section in _SECTIONS:
            members = self.object(components, section, "/components")
            for name in list(members or ()):
                assert members is not None  # noqa: S101 - there is a member
                pointer = f"/components/{section}/{escape(name)}"
                members[name] = kinds[section](members[name], pointer)
        self.object(components, "examples", "/components")
        schemes = self.object(components, "securitySchemes", "/components") or {}
        for name in list(schemes):
            if not self._security.scheme(schemes[name], f"/components/securitySchemes/{escape(name)}"):
                del schemes[name]
        # Requirements are looked at once it is known which schemes there are.
        self._security.known = frozenset(schemes)
        self._security.requirements(self.data, "")

    def _paths(self, paths: dict[str, Any]) -> None:
        shapes: dict[str, str] = {}
        for path in list(paths):
            if path.startswith("x-"):
                continue
            pointer = join("paths", path)
            wanted = path.partition("#")[0].partition("?")[0]
            wanted = wanted if wanted.startswith("/") else f"/{wanted}"
            if wanted != path:
                self._renamed(paths, path, wanted, pointer)
                if path in paths:
                    continue
                pointer = join("paths", wanted)
            item = paths[wanted] = self._path_item(paths[wanted], pointer, wanted)
            shape = _TEMPLATE.sub("{}", wanted)
            for method in METHODS:
                if method in item and shapes.setdefault(f"{method} {shape}", wanted) != wanted:
                    other = shapes[f"{method} {shape}"]
                    what = f"{method.upper()} {wanted} cannot be told from {other}, which is served"
                    self.note(f"{pointer}/{method}", what, "make them differ in more than the parameter's name")

    def _renamed(self, paths: dict[str, Any], path: str, wanted: str, pointer: str) -> None:
        what = "does not begin with '/'" if not path.startswith("/") else "carries a query or a fragment"
        if wanted in paths:
            self.note(pointer, f"the path {path!r} {what}, and there is {wanted} already; it is left out", "rename it")
            paths[f"x-{path}"] = paths.pop(path)
            return
        self.note(pointer, f"the path {path!r} {what}; served as {wanted}", f"write it as {wanted}")
        self.moved[join("paths", wanted)] = ("", pointer)
        # The order of the document is that of its readers.
        items = [(wanted if name == path else name, item) for name, item in paths.items()]
        paths.clear()
        paths.update(items)

    def _identify(self, paths: dict[str, Any]) -> None:
        """Give each operation an operationId of its own."""
        operations = [
            (item[method], method, path)
            for path, item in paths.items()
            if not path.startswith("x-")
            for method in METHODS
            if method in item
        ]
        taken = {node["operationId"] for node, _, _ in operations if node.get("operationId")}
        seen: set[str] = set()
        for node, method, path in operations:
            name = node.get("operationId")
            if name and name not in seen:
                seen.add(name)
                continue
            node["operationId"] = free_name(method, path, taken)
            taken.add(node["operationId"])
            seen.add(node["operationId"])
            pointer = f"{join('paths', path)}/{method}"
            if name:
                what = f"the operationId {name} is taken by another operation; served as {node['operationId']}"
                self.note(f"{pointer}/operationId", what, "choose another")
            else:
                what = f"{method.upper()} {path} has no operationId; served as {node['operationId']}"
                self.note(pointer, what, f"add one in snake_case, such as 'operationId: {node['operationId']}'")

    def _path_item(self, node: Any, pointer: str, path: str | None = None) -> Any:
        if not isinstance(node, dict):
            self.note(pointer, f"a path item must be an object, not {shown(node)}; it is left out", "mend it")
            return {}
        if id(node) in self._done:
            return node
        self._done[id(node)] = node
        if "$ref" in node:
            target = str(node.pop("$ref"))
            problem = self.problem(target)
            found = self.resolved({"$ref": target})
            if problem is not None or not isinstance(found, dict):
                self.note(
                    pointer, f"the reference {target[:200]} {problem or 'leads to no path item'}", "mend the $ref"
                )
                return node
            # What stands beside the reference counts, too; and what an operation means depends on its path.
            for key, value in found.items():
                node.setdefault(key, dict(value) if key in METHODS and isinstance(value, dict) else value)
                self.moved.setdefault(f"{pointer}/{escape(key)}", ("", f"{unquote(target[1:])}/{escape(key)}"))
        shared = self._parameters(node, pointer)
        for method in METHODS:
            if method in node:
                where = f"{pointer}/{method}"
                self.operation = where
                node[method] = self._whole_operation(node[method], where, path, node.get("parameters"), shared)
                self.operation = ""
        return node

    def _whole_operation(
        self, node: Any, pointer: str, path: str | None, written: Any, shared: list[tuple[str, str]]
    ) -> Any:
        node = self.expanded(node, pointer)
        if isinstance(node, dict) and (target := reference(node)) is not None:
            self.down(pointer, f"the reference {target[:200]} {self.problem(target)}", "mend the $ref")
            return {"responses": {}}
        if not isinstance(node, dict):
            self.down(pointer, f"an operation must be an object, not {shown(node)}", "indent what belongs to it")
            return {"responses": {}}
        if id(node) in self._done:
            return node
        self._done[id(node)] = node
        if self._upgrade is not None:
            self._upgrade.operation(node, pointer, written, self.resolved)
        own = self._parameters(node, pointer)
        if path is not None:
            self._path_parameters(node, pointer, path, [*shared, *own])
        if "requestBody" in node:
            node["requestBody"] = self._body(node["requestBody"], f"{pointer}/requestBody")
            if node["requestBody"] is None:
                del node["requestBody"]
        self._responses(node, pointer)
        self._security.requirements(node, pointer)
        self._callbacks(node, pointer)
        name = node.get("operationId")
        if name is not None and not isinstance(name, str):
            self.note(
                f"{pointer}/operationId", f"an operationId must be a text, not {shown(name)}; ignored", "quote it"
            )
            del node["operationId"]
        for key in ("tags", "servers"):
            self.listed(node, key, pointer)
        node.pop("x-produces", None)
        return node

    def _parameters(self, owner: dict[str, Any], pointer: str) -> list[tuple[str, str]]:
        """Mend a list of parameters; (name, place) of each of them."""
        kept: list[Any] = []
        found: list[tuple[str, str]] = []
        for index, raw in enumerate(self.listed(owner, "parameters", pointer)):
            at = f"{pointer}/parameters/{index}"
            if not self.either(raw, at, self._shared_parameter):
                continue
            parameter = self.resolved(raw)
            if (
                self._upgrade is not None
                and isinstance(parameter, dict)
                and parameter.get("in") in ("body", "formData")
            ):
                kept.append(raw)
                continue
            target = reference(raw)
            if not self._parameter(parameter, at if target is None else unquote(target[1:])):
                continue
            here = (parameter["name"], parameter["in"])
            if here in found:
                self.note(at, f"the {here[1]} parameter {here[0]} stands twice; the later one counts", "take one out")
            found.append(here)
            kept.append(raw)
        if "parameters" in owner:
            # Kept at their places, so that pointers stay true.
            owner["parameters"] = kept
        return found

    def _shared_parameter(self, node: Any, pointer: str) -> Any:
        if self.either(node, pointer, self._shared_parameter) and reference(node) is None:
            if self._upgrade is None or not is_body(node):
                self._parameter(node, pointer)
            elif "schema" in node:
                node["schema"] = self._schemas.schema(node["schema"], f"{pointer}/schema")
        return node

    def _parameter(self, node: Any, pointer: str) -> bool:
        """Whether a parameter can be used."""
        if isinstance(node, dict) and id(node) in self._done:
            return isinstance(node.get("name"), str) and node.get("in") in _LOCATIONS
        if not isinstance(node, dict) or not isinstance(node.get("name"), str) or node.get("in") not in _LOCATIONS:
            what = "a parameter needs 'name' and 'in'; it is ignored"
            self.note(pointer, what, f"in: {', '.join(_LOCATIONS)}")
            return False
        self._done[id(node)] = node
        if self._upgrade is not None:
            self._upgrade.parameter(node, pointer)
        elif "schema" not in node and "content" not in node and "type" in node:
            self.note(
                pointer, "its type stands beside its name, as in OpenAPI 2.0; taken as its schema", "add 'schema'"
            )
            node["schema"] = {
                key: node.pop(key) for key in ("type", "format", "enum", "default", "items") if key in node
            }
        if not isinstance(node.get("required", False), bool):
            node["required"] = str(node["required"]).lower() == "true"
            self.note(f"{pointer}/required", "'required' must be true or false; taken so", "write it unquoted")
        if node["in"] == "path" and node.get("required") is not True:
            node["required"] = True
            self.note(pointer, f"the path parameter {node['name']} must be required; taken so", "add required: true")
        if "style" in node and node["style"] not in _STYLES:
            self.note(f"{pointer}/style", f"{shown(node['style'])} is no style; it is ignored", ", ".join(_STYLES))
            del node["style"]
        if "schema" in node:
            node["schema"] = self._schemas.schema(node["schema"], f"{pointer}/schema")
        self._content(node, pointer)
        return True

    def _path_parameters(self, node: dict[str, Any], pointer: str, path: str, declared: list[tuple[str, str]]) -> None:
        names = _TEMPLATE.findall(path)
        known = {name for name, place in declared if place == "path"}
        for name in known - set(names):
            what = f"the path {path} has no {{{name}}}; the parameter is ignored"
            self.note(pointer, what, f"add {{{name}}} to the path, or take the parameter out")
            node["parameters"] = [one for one in node.get("parameters", ()) if not self._is_path(one, name)]
        for name in dict.fromkeys(names):
            if name not in known:
                self.note(pointer, f"the path parameter {name} is not declared; taken as a text", "declare it")
                made = {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                node["parameters"] = [*node.get("parameters", ()), made]

    def _is_path(self, node: Any, name: str) -> bool:
        parameter = self.resolved(node)
        return isinstance(parameter, dict) and parameter.get("in") == "path" and parameter.get("name") == name

    def _body(self, node: Any, pointer: str) -> Any:
        if not self.either(node, pointer, self._body):
            return None
        if reference(node) is not None or (isinstance(node, dict) and id(node) in self._done):
            return node
        if not isinstance(node, dict):
            self.note(pointer, f"a request body must be an object, not {shown(node)}; it is ignored", "add 'content'")
            return None
        self._done[id(node)] = node
        if not isinstance(node.get("required", False), bool):
            node["required"] = str(node["required"]).lower() == "true"
        self._content(node, pointer)
        return node

    def _content(self, owner: dict[str, Any], pointer: str) -> None:
        content = self.object(owner, "content", pointer)
        for name in list(content or ()):
            assert content is not None  # noqa: S101 - there is a name
            at = f"{pointer}/content/{escape(name)}"
            media = content[name]
            if not isinstance(media, dict):
                self.note(at, f"a media type must be an object, not {shown(media)}; it says nothing", "add 'schema'")
                media = content[name] = {}
            if "/" not in name:
                self.note(at, f"{name!r} is no media type", "write it as application/json")
            if "schema" in media:
                media["schema"] = self._schemas.schema(media["schema"], f"{at}/schema")
            self.object(media, "encoding", at)
            self._examples(media, at)

    def _examples(self, owner: dict[str, Any], pointer: str) -> None:
        examples = self.object(owner, "examples", pointer) or {}
        for name in list(examples):
            at = f"{pointer}/examples/{escape(name)}"
            target = reference(examples[name])
            if not isinstance(examples[name], dict) or (target is not None and self.problem(target) is not None):
                self.note(at, "is no example with a 'value'; it is ignored", "write value: above what is shown")
                del examples[name]

    def _responses(self, node: dict[str, Any], pointer: str) -> None:
        responses = self.object(node, "responses", pointer)
        if not responses:
            self.note(pointer, "the operation declares no answers; it answers 200", "add 'responses'")
            node["responses"] = {"200": {"description": ""}}
            return
        produces = node.get("x-produces")
        for status in list(responses):
            at = f"{pointer}/responses/{escape(status)}"
            if status.startswith("x-"):
                continue
            written = status.upper() if status[1:].lower() == "xx" else status
            if not _STATUS.fullmatch(written):
                self.note(at, f"{status!r} is no status; the answer is ignored", "write 200, 4XX or default")
                del responses[status]
                continue
            response = self._response(responses.pop(status), at, produces)
            if written != status:
                self.moved[f"{pointer}/responses/{written}"] = ("", at)
            if response is not None:
                responses[written] = response
        if not any(not status.startswith("x-") for status in responses):
            responses["200"] = {"description": ""}

    def _response(self, node: Any, pointer: str, produces: Any = None) -> Any:
        if not self.either(node, pointer, self._response):
            return None
        if reference(node) is not None or (isinstance(node, dict) and id(node) in self._done):
            return node
        if not isinstance(node, dict):
            self.note(pointer, f"an answer must be an object, not {shown(node)}; it has no body", "add 'description'")
            return {"description": str(node)[:200]}
        self._done[id(node)] = node
        if self._upgrade is not None:
            self._upgrade.response(node, pointer, produces)
        headers = self.object(node, "headers", pointer) or {}
        for name in list(headers):
            headers[name] = self._header(headers[name], f"{pointer}/headers/{escape(name)}")
        self._content(node, pointer)
        links = self.object(node, "links", pointer) or {}
        for name in list(links):
            target = reference(links[name])
            if not isinstance(links[name], dict) or (target is not None and self.problem(target) is not None):
                self.note(f"{pointer}/links/{escape(name)}", "is no link; it is ignored", "mend it")
                del links[name]
        return node

    def _header(self, node: Any, pointer: str) -> Any:
        if not isinstance(node, dict) or not self.either(node, pointer, self._header):
            return {}
        if reference(node) is None and id(node) not in self._done:
            self._done[id(node)] = node
            if self._upgrade is not None:
                self._upgrade.header(node, pointer)
            if "schema" in node:
                node["schema"] = self._schemas.schema(node["schema"], f"{pointer}/schema")
        return node

    def _callbacks(self, node: dict[str, Any], pointer: str) -> None:
        callbacks = self.object(node, "callbacks", pointer) or {}
        kept, self.operation = self.operation, ""
        for name in list(callbacks):
            callbacks[name] = self._callback(callbacks[name], f"{pointer}/callbacks/{escape(name)}")
        self.operation = kept

    def _callback(self, node: Any, pointer: str) -> Any:
        if not isinstance(node, dict) or not self.either(node, pointer, self._callback):
            if not isinstance(node, dict):
                self.note(pointer, f"a callback must be an object, not {shown(node)}; it is ignored", "mend it")
            return {}
        if reference(node) is None:
            for expression in list(node):
                if not expression.startswith("x-"):
                    kept, self.operation = self.operation, ""
                    node[expression] = self._path_item(node[expression], f"{pointer}/{escape(expression)}")
                    self.operation = kept
        return node
