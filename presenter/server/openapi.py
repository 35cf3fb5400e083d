"""The OpenAPI description of the HTTP API, made from `OPERATIONS`."""

from __future__ import annotations

import re
from typing import Any

from presenter.server.operations import OPERATIONS, Operation
from presenter.server.tokens import Scope

_REFUSALS = (400, 401, 403, 404, 405, 408, 413, 429, 503)
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        }
    },
}


def description(version: str) -> dict[str, Any]:
    """Return the description (OpenAPI 3.1.0) of a server.

    Args:
        version: of the package.
    """
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        if path != "/static":  # files, not operations
            paths.setdefault(path, {})[method.lower()] = _operation(path, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Presenter",
            "version": version,
            "description": "Where a server has a token, it is sent as a bearer token; `x-scopes` names the scoped"
            " tokens that an operation takes beside it. Watching needs one only with `server.watch_needs_token`.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR},
        },
    }


def _operation(path: str, operation: Operation) -> dict[str, Any]:
    status, media = operation.answer
    answered: dict[str, Any] = {"description": "Done"}
    if media:
        answered["content"] = {media: {"schema": {"type": "object"} if media == "application/json" else {}}}
    refused = {
        "description": "Refused; the message says what was expected",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in operation.query.items()]
    made: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {str(status): answered}
        | {str(refusal): refused for refusal in (*_REFUSALS, *operation.refusals) if refusal != status},
    }
    if operation.body is not None:
        kind, schema = operation.body if isinstance(operation.body, tuple) else _json(operation.body)
        made["requestBody"] = {"required": True, "content": {kind: {"schema": schema}}}
    if operation.access is not None:
        made["security"] = [{"token": []}]
        made["x-scopes"] = [str(scope) for scope in Scope if scope in operation.access]
    return made


def _json(model: type[Any]) -> tuple[str, dict[str, Any]]:
    return "application/json", model.model_json_schema()
