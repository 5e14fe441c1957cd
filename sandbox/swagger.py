"""OpenAPI 2.0 ("Swagger") objects in the shape of OpenAPI 3.0.

Each function turns one kind of object and trusts nothing: what is malformed is left as it is, for whoever looks at the
3.0 shape afterwards. `moved` notes where each part came from, so that messages can point at what the author wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from sandbox.pointer import escape, join

Moved: TypeAlias = dict[str, tuple[str, str]]
Resolve: TypeAlias = Callable[[Any], Any]

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
_SECTIONS: Final = {
    "definitions": "schemas",
    "parameters": "parameters",
    "responses": "responses",
    "securityDefinitions": "securitySchemes",
}
_SCHEMA_WORDS: Final = (
    *("type", "format", "items", "default", "enum", "pattern", "multipleOf", "uniqueItems", "example"),
    *("maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum"),
    *("maxLength", "minLength", "maxItems", "minItems", "x-nullable", "x-example"),
)
_STYLES: Final[dict[object, dict[str, Any]]] = {
    "csv": {"style": "form", "explode": False},
    "ssv": {"style": "spaceDelimited", "explode": False},
    "pipes": {"style": "pipeDelimited", "explode": False},
    "multi": {"style": "form", "explode": True},
}
_FLOWS: Final = {
    "implicit": "implicit",
    "password": "password",
    "application": "clientCredentials",
    "accessCode": "authorizationCode",
}


def local(reference: str) -> str:
    """A local reference of 2.0 as one into `components`."""
    for old, new in _SECTIONS.items():
        if reference.startswith(f"#/{old}/"):
            return f"#/components/{new}/{reference.removeprefix(f'#/{old}/')}"
    return reference


class Upgrade:
    """Turns one document.

    Args:
        data: The document; its sections are moved at once, its operations when they are asked for.
        moved: Where parts came from; filled in.
    """

    def __init__(self, data: dict[str, Any], moved: Moved) -> None:
        self._moved = moved
        self._consumes = _words(data.pop("consumes", None)) or [JSON]
        self._produces = _words(data.pop("produces", None)) or [JSON]
        self._components(data)
        self._servers(data)
        data["openapi"] = "3.0.3"
        data.pop("swagger", None)

    def _components(self, data: dict[str, Any]) -> None:
        components: dict[str, Any] = {}
        for old, new in _SECTIONS.items():
            section = data.pop(old, None)
            if section is not None:
                components[new] = section
                self._note(f"/components/{new}", f"/{old}")
        schemes = components.get("securitySchemes")
        if isinstance(schemes, dict):
            components["securitySchemes"] = {name: scheme_of(scheme) for name, scheme in schemes.items()}
        data["components"] = components

    @staticmethod
    def _servers(data: dict[str, Any]) -> None:
        host, base = data.pop("host", None), data.pop("basePath", None)
        schemes = _words(data.pop("schemes", None)) or ["https"]
        base = base if isinstance(base, str) else ""
        if isinstance(host, str) and host:
            data["servers"] = [{"url": f"{scheme}://{host}{base.rstrip('/')}"} for scheme in schemes]
        elif base.strip("/"):
            data["servers"] = [{"url": base}]

    def operation(self, node: dict[str, Any], pointer: str, shared: Any, resolve: Resolve) -> None:
        """Turn the body and form parameters of an operation, its own and those of its path, into a request body.

        Args:
            node: The operation; changed.
            shared: The parameters of its path item.
            resolve: Says what a node stands for.
        """
        consumes = _words(node.pop("consumes", None)) or self._consumes
        node["x-produces"] = _words(node.pop("produces", None)) or self._produces
        node.pop("schemes", None)
        own = node.get("parameters")
        found: list[tuple[dict[str, Any], str]] = []
        above = f"{pointer.rpartition('/')[0]}/parameters"
        for parameters, where in ((shared, above), (own, f"{pointer}/parameters")):
            for index, raw in enumerate(parameters if isinstance(parameters, list) else ()):
                parameter = resolve(raw)
                if isinstance(parameter, dict) and parameter.get("in") in ("body", "formData"):
                    found.append((parameter, f"{where}/{index}"))
        if isinstance(own, list):
            node["parameters"] = [raw for raw in own if not is_body(resolve(raw))]
        bodies = [(parameter, at) for parameter, at in found if parameter["in"] == "body"]
        if bodies:
            self._body(node, pointer, *bodies[-1], consumes)
        elif found:
            self._form(node, pointer, found, consumes)

    def _body(
        self, node: dict[str, Any], pointer: str, parameter: dict[str, Any], at: str, consumes: Sequence[str]
    ) -> None:
        medias = [media for media in consumes if media not in (FORM, MULTIPART)] or [JSON]
        content = self._content(f"{pointer}/requestBody", f"{at}/schema", medias, parameter.get("schema", {}), None)
        node["requestBody"] = {"content": content, **_kept(parameter, "description", "required")}
        self._note(f"{pointer}/requestBody", at)

    def _form(
        self,
        node: dict[str, Any],
        pointer: str,
        found: Sequence[tuple[dict[str, Any], str]],
        consumes: Sequence[str],
    ) -> None:
        has_file = any(parameter.get("type") == "file" for parameter, _ in found)
        usual = [MULTIPART] if has_file else [FORM]
        medias = [media for media in consumes if media in (FORM, MULTIPART) and not (has_file and media == FORM)]
        medias = medias or usual
        schema: dict[str, Any] = {"type": "object", "properties": {}}
        required = []
        for parameter, at in found:
            name = str(parameter.get("name", ""))
            schema["properties"][name] = {**_schema(parameter), **_kept(parameter, "description")}
            for media in medias:
                inside = join("content", media, "schema", "properties", name)
                self._note(f"{pointer}/requestBody{inside}", at)
            if parameter.get("required") is True:
                required.append(name)
        if required:
            schema["required"] = required
        encoding = {
            str(parameter.get("name", "")): _STYLES[parameter["collectionFormat"]]
            for parameter, _ in found
            if parameter.get("collectionFormat") in ("csv", "ssv", "pipes", "multi")
        }
        content = {media: {"schema": schema, **({"encoding": encoding} if encoding else {})} for media in medias}
        node["requestBody"] = {"content": content, **({"required": True} if required else {})}
        self._note(f"{pointer}/requestBody", f"{pointer}/parameters")

    def parameter(self, node: dict[str, Any], pointer: str) -> None:
        """Turn a parameter that is no body; changed in place."""
        if "schema" in node or "content" in node:
            return
        node["schema"] = _schema(node)
        for word in _SCHEMA_WORDS:
            node.pop(word, None)
        written = str(node.pop("collectionFormat", "csv"))
        if node["schema"].get("type") == "array":
            node |= _STYLES.get(written, {})
        if node.get("in") in ("path", "header"):
            node.pop("style", None)
        self._note(f"{pointer}/schema", pointer)

    def header(self, node: dict[str, Any], pointer: str) -> None:
        """Turn a header of an answer; changed in place."""
        if "schema" not in node:
            node["schema"] = _schema(node)
            for word in _SCHEMA_WORDS:
                node.pop(word, None)
            self._note(f"{pointer}/schema", pointer)

    def response(self, node: dict[str, Any], pointer: str, produces: Sequence[str] | None) -> None:
        """Turn an answer; changed in place."""
        schema, examples = node.pop("schema", None), node.pop("examples", None)
        if schema is None and not isinstance(examples, dict):
            return
        medias = list(produces or self._produces)
        if isinstance(examples, dict):
            medias += [media for media in examples if "/" in media and media not in medias]
        node["content"] = self._content(pointer, f"{pointer}/schema", medias, schema, examples)

    def _content(
        self, pointer: str, at: str, medias: Sequence[str], schema: Any, examples: Any
    ) -> dict[str, dict[str, Any]]:
        plain = {media: media.partition(";")[0].strip().lower() for media in medias}
        json = [media for media, name in plain.items() if name == JSON or name.endswith("+json")]
        content: dict[str, dict[str, Any]] = {}
        for media in medias:
            content[media] = {}
            # One and the same schema for XML says nothing that is not said for JSON.
            if schema is not None and (media in json or not json):
                content[media]["schema"] = schema
                self._note(pointer + join("content", media, "schema"), at)
            if isinstance(examples, Mapping) and media in examples:
                content[media]["example"] = examples[media]
                self._note(pointer + join("content", media, "example"), f"{pointer}/examples/{escape(media)}")
        return content

    def _note(self, here: str, there: str) -> None:
        for old, new in _SECTIONS.items():
            if there.startswith(f"/components/{new}/"):
                there = f"/{old}/{there.removeprefix(f'/components/{new}/')}"
        self._moved[here] = ("", there)


def scheme_of(node: Any) -> Any:
    """A security scheme of 2.0 as one of 3.0."""
    if not isinstance(node, dict):
        return node
    if node.get("type") == "basic":
        return {"type": "http", "scheme": "basic", **_kept(node, "description")}
    if node.get("type") != "oauth2" or "flows" in node:
        return node
    flow = {name: node[name] for name in ("authorizationUrl", "tokenUrl") if name in node}
    scopes = node.get("scopes")
    flow["scopes"] = scopes if isinstance(scopes, dict) else {}
    kind = _FLOWS.get(str(node.get("flow")), "clientCredentials")
    return {"type": "oauth2", "flows": {kind: flow}, **_kept(node, "description")}


def schema_of(node: dict[str, Any]) -> None:
    """Turn a schema object; changed in place, not those that stand in it."""
    if node.get("x-nullable") is True:
        node["nullable"] = True
    if isinstance(node.get("discriminator"), str):
        node["discriminator"] = {"propertyName": node["discriminator"]}
    if node.get("type") == "file":
        node |= {"type": "string", "format": "binary"}


def is_body(parameter: Any) -> bool:
    """Whether a parameter of 2.0 is the body, or a part of it."""
    return isinstance(parameter, dict) and parameter.get("in") in ("body", "formData")


def _schema(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a parameter that has its words beside its name."""
    schema = {word: parameter[word] for word in _SCHEMA_WORDS if word in parameter}
    if "x-example" in schema:
        schema.setdefault("example", schema.pop("x-example"))
    if schema.get("type") == "file":
        schema |= {"type": "string", "format": "binary"}
    if isinstance(schema.get("items"), dict):
        schema["items"] = _schema(schema["items"])
    return schema


def _kept(node: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: node[name] for name in names if name in node}


def _words(value: Any) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []
