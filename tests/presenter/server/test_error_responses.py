"""What clients see of each error, and that only the HTTP layer handles it."""

import ast
import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from models.matting import MattingError
from presenter import errors
from presenter.errors import NotFoundError
from presenter.server.error_responses import STATUS_AND_CODE, ApiError, json_errors

SERVER = Path(__file__).resolve().parents[3] / "presenter" / "server"
KNOW_HTTP = {"access", "app", "error_responses", "middleware", "parsing", "viewer_routes"} | {
    f"{kind}_routes" for kind in ("presenter", "render", "session", "simli", "liveavatar", "token")
}


def answer(error: Exception) -> tuple[int, str, str]:
    async def handler(_: web.Request) -> web.StreamResponse:
        raise error

    response = asyncio.run(json_errors(make_mocked_request("GET", "/"), handler))
    assert isinstance(response, web.Response)
    assert response.text is not None
    body = json.loads(response.text)["error"]
    return response.status, body["code"], body["message"]


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("CapacityError", 503, "capacity"),
        ("EnrollError", 422, "enroll_failed"),
        ("IdentityNotFoundError", 404, "presenter_not_found"),
        ("JobNotFoundError", 404, "job_not_found"),
        ("MediaError", 400, "media_error"),
        ("OfferError", 400, "bad_offer"),
        ("PageConnectedError", 409, "already_connected"),
        ("PublicationNotFoundError", 404, "publication_not_found"),
        ("PublishError", 502, "whip_failed"),
        ("PublishTargetError", 403, "whip_target"),
        ("SessionNotFoundError", 404, "session_not_found"),
        ("ViewerNotFoundError", 404, "viewer_not_found"),
        ("VoiceMissingError", 501, "no_voice"),
        ("ConfigError", 400, "bad_request"),
    ],
)
def test_each_error_has_its_status_and_code(name: str, status: int, code: str) -> None:
    assert answer(getattr(errors, name)("It says why.")) == (status, code, "It says why.")


def test_errors_of_other_packages_and_subclasses() -> None:
    class Special(errors.ViewerNotFoundError):
        pass

    assert answer(Special("gone"))[:2] == (404, "viewer_not_found")
    assert answer(MattingError("no person"))[:2] == (422, "no_matte")
    assert answer(ApiError(418, "teapot", "short"))[:2] == (418, "teapot")
    assert answer(KeyError("a bug")) == (500, "internal", "The server failed on this request; its log says why.")


def test_what_is_not_found_is_a_404() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, NotFoundError)]
    assert {STATUS_AND_CODE[kind][0] for kind in kinds if kind is not NotFoundError} == {404}


def test_only_routes_and_middleware_raise_api_errors() -> None:
    raising = {
        path.stem
        for path in SERVER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id == "ApiError"
    }
    assert raising <= KNOW_HTTP
