"""MLflow's scoring protocol over HTTP with bounds: /ping, /health, /version, /invocations, and /metadata beside them.
Where a task takes points, /hints.html is a page on which a person places them (`restore_ml.report.gallery.hints_page`).

Whatever is asked for, the answer to a mistake is `{"error": "a sentence"}` with a 4xx; a fault of ours is a 500 with an
id that stands in the log, never a stack trace.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from restore_ml.serving.engine import Engine
from restore_ml.serving.limits import Refusal, seconds_to_wait
from restore_ml.serving.payload import Query, media_type, parse

LOOPBACK = ("localhost", "127.0.0.1", "::1")
PATHS = ("/ping", "/health", "/version", "/metadata", "/invocations")
HINTS = "/hints.html"
ASSETS = {"style.css": "text/css", "hints.css": "text/css", "hints.js": "text/javascript"}
"""What the page of hints is made of, beside it."""
PAGE_HEADERS = {"Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; "
                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
"""The page asks this server and nobody else, and no other page shows it in a frame."""
log = logging.getLogger("restore_ml.serving")


class Reply(Response):
    """JSON in ASCII, so that no text that a person sent can break it."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """One line."""
        return json.dumps(content).encode()


def create_app(engine: Engine, hosts: tuple[str, ...] = LOOPBACK) -> ASGIApp:
    """The application; requests for other `hosts` (the name in the Host header) are refused with 403."""
    service = _Service(engine)
    routes = [Route("/ping", _guarded(service.ping)), Route("/health", _guarded(service.health)),
              Route("/version", _guarded(service.version)), Route("/metadata", _guarded(service.metadata)),
              Route("/invocations", _guarded(service.invocations), methods=["POST"]),
              Route(HINTS, _guarded(service.hints)), Route("/assets/{name}", _guarded(service.assets))]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _http_error})
    app.router.redirect_slashes = False
    return HostCheck(app, hosts)


class HostCheck:
    """Answers only requests that name this server: a page of another site that let its name point here (DNS rebinding)
    gets a 403."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self.app, self.hosts = app, {name.lower().strip("[]") for name in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application around another."""
        if scope["type"] == "http":
            given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            if len(given) != 1 or host_name(given[0]) not in self.hosts:
                said = repr(given[0][:100]) if given else "no host"
                reply = _error(403, f"This server does not answer for {said}; start it with --allowed-host NAME if it "
                                    "should.")
                await reply(scope, receive, send)
                return
        await self.app(scope, receive, send)


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets, in small letters."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


class _Service:
    """The answers; `busy` counts the requests that are read, wait or run."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.busy = engine, 0

    async def ping(self, request: Request) -> Response:
        return Response("\n", media_type="application/json")

    async def health(self, request: Request) -> Response:
        return Reply({"status": "ok", "busy": self.busy, "queue": self.engine.limits.queue})

    async def version(self, request: Request) -> Response:
        """The version of the protocol's owner, as MLflow's server says it."""
        from importlib.metadata import version

        return Response(version("mlflow"), media_type="application/json")

    async def metadata(self, request: Request) -> Response:
        return Reply(self.engine.metadata())

    async def hints(self, request: Request) -> Response:
        """The page on which hints are placed; 404 where the task or the model takes none."""
        from restore_ml.report.gallery import hints_page

        if not takes_hints(self.engine):
            model = ("", "") if "points" not in self.engine.photos.names() else (f"{self.engine.run} of ",
                                                                              " --model user_hints")
            raise Refusal(404, f"{model[0]}{self.engine.task} takes no hints; `restore-ml serve --task "
                               f"guided_colorization{model[1]}` does.")
        page = await run_in_threadpool(hints_page, served=self.engine.task, run=self.engine.run)
        return Response(page, media_type="text/html", headers=PAGE_HEADERS)

    async def assets(self, request: Request) -> Response:
        """What that page is made of."""
        from restore_ml.report.gallery import asset

        name = request.path_params["name"]
        if name not in ASSETS:
            raise Refusal(404, f"There is no such path; there are {', '.join(PATHS)}.")
        return Response(asset(name), media_type=ASSETS[name], headers=PAGE_HEADERS)

    async def invocations(self, request: Request) -> Response:
        kind = media_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
        limits = self.engine.limits
        if self.busy >= limits.queue:
            wait = seconds_to_wait(self.engine.seconds, self.busy)
            raise Refusal(503, f"{self.busy} requests are waiting already; try again in {wait} s.",
                          {"Retry-After": str(wait)})
        self.busy += 1
        try:
            body = await read(request, limits.bytes, limits.seconds)
            query = await run_in_threadpool(parse, body, kind, limits.pictures, self.engine.photos)
            del body
            await run_in_threadpool(self.engine.check, query)
            results = await self._restored(request, query)
        finally:
            self.busy -= 1
        return await run_in_threadpool(Reply, {"predictions": results})

    async def _restored(self, request: Request, query: Query) -> list[dict[str, str]]:
        """Wait for the worker; a client that leaves takes its request with it."""
        stop = threading.Event()
        future = self.engine.submit(query, stop)
        waiting = asyncio.wrap_future(future)
        try:
            while not waiting.done():
                await asyncio.wait([waiting], timeout=1.0)
                if not waiting.done() and await request.is_disconnected():
                    raise ClientDisconnect
            return waiting.result()
        finally:
            stop.set()
            future.cancel()


def takes_hints(engine: Engine) -> bool:
    """Whether points go with the picture: to a model that has no guide of its own."""
    return "points" in engine.photos.names() and not engine.method.inputs


async def read(request: Request, most: int, seconds: float) -> bytes:
    """The body, counted while it arrives: 413 beyond `most` bytes, 408 after `seconds`.

    A client that sends too much is read on for a while, so that it is there to see the answer.
    """
    sentence = f"The body is larger than {most / 1e6:g} megabytes; send fewer or smaller pictures."
    parts, size = [], 0
    try:
        declared = int(request.headers.get("content-length") or 0)
    except ValueError:
        raise Refusal(400, "The content length is not a number.") from None
    if declared > 4 * most:
        raise Refusal(413, sentence, {"Connection": "close"})
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size <= most:
                    parts.append(part)
                else:
                    parts.clear()
                if size > 4 * most:
                    raise Refusal(413, sentence, {"Connection": "close"})
    except TimeoutError:
        raise Refusal(408, f"The body did not arrive within {seconds:g} s.", {"Connection": "close"}) from None
    if size > most:
        raise Refusal(413, sentence)
    return b"".join(parts)


def _guarded(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Every way in which an answer can fail, as a reply."""
    async def guarded(request: Request) -> Response:
        started = time.monotonic()
        try:
            reply = await answer(request)
        except Refusal as refusal:
            reply = _error(refusal.status, refusal.sentence, refusal.headers)
        except ClientDisconnect:
            reply = _error(408, "The client left.")
        except MemoryError:
            reply = _error(413, "The memory does not suffice for this request; send smaller pictures.")
        except Exception:
            number = secrets.token_hex(6)
            log.exception("Error %s while answering %s %s.", number, request.method, request.url.path)
            reply = _error(500, f"Something went wrong in the server; its log says more under {number}.")
        if request.url.path == "/invocations":
            log.info("%s %s: %d, %.2f s", request.method, request.url.path, reply.status_code,
                     time.monotonic() - started)
        return reply

    return guarded


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own refusals: unknown paths and wrong methods."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _error(404, f"There is no such path; there are {', '.join(PATHS)}.")
    if error.status_code == 405:
        way = "POST" if request.url.path == "/invocations" else "GET"
        return _error(405, f"{request.url.path} is asked with {way}.", dict(error.headers or {}))
    return _error(error.status_code, str(error.detail), dict(error.headers or {}))


def _error(status: int, sentence: str, headers: dict[str, str] | None = None) -> Reply:
    return Reply({"error": sentence}, status_code=status, headers=headers)
