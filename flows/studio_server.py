"""Serves the page of `facsimile studio` on the loopback interface.

All computation runs on one thread, one request after another. If a newer request of the same page
arrives while one waits, the older one is answered with 204 and costs nothing.

Requests with another Host header are refused, so that no page on the web can reach the studio by
DNS rebinding. Browsers ask before they send the content types of these requests to another origin,
and are refused as well.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

from facsimile.errors import FacsimileError
from facsimile.faces.aus import AUS
from facsimile.faces.demographics import AGE_GROUPS, GENDERS
from facsimile.studio import STATIC, render_page, render_static
from flows.loopback import HOST, reserve
from flows.studio import Studio

MAX_UPLOAD = 32 * 2**20
"""Maximum size of a picture, bytes."""

_CLIENTS = 100  # pages whose newest request is remembered
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FaceRequest(_Body):
    """Open a face."""

    key: str


class PersonRequest(_Body):
    """Sample a new person."""

    gender: Literal[GENDERS]
    age_group: Literal[AGE_GROUPS]


class EditRequest(_Body):
    """Edit a face; see `facsimile.studio.StudioSession.edit`.

    Attributes:
        client: the page that asks.
        number: rises with each change on the page; older requests are dropped.
    """

    client: Annotated[str, Field(max_length=64)]
    number: int
    face: str
    levels: dict[Literal[AUS], float]
    method: str
    reference: str | None = None
    preview: bool = False


class Newest:
    """The number of the newest request of each client; the oldest clients are forgotten."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[str, int] = OrderedDict()

    def note(self, client: str, number: int) -> None:
        """A request has arrived."""
        self._numbers[client] = max(number, self._numbers.pop(client, number))
        if len(self._numbers) > _CLIENTS:
            self._numbers.popitem(last=False)

    def is_stale(self, client: str, number: int) -> bool:
        """Whether a newer one has arrived."""
        return number < self._numbers.get(client, number)


def create_app(studio: Studio) -> FastAPI:
    """The application; its worker thread lives as long as it runs."""
    worker = ThreadPoolExecutor(1, "studio")
    newest = Newest()

    async def compute(work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(worker, work, *arguments)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await compute(studio.warm_up)
        yield
        worker.shutdown(wait=True, cancel_futures=True)

    # Its documentation would load scripts from elsewhere.
    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])

    @app.middleware("http")
    async def protect(
        request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await answer(request)
        response.headers.update(_HEADERS)
        return response

    @app.exception_handler(FacsimileError)
    async def explain(request: Request, error: FacsimileError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 400)

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return render_page(await compute(studio.describe))

    def serve_static(path: str, media_type: str) -> None:
        @app.get(path)
        async def static() -> Response:
            return Response(render_static(path), media_type=media_type)

    for path, media_type in STATIC.items():
        serve_static(path, media_type)

    @app.post("/api/faces")
    async def open_face(body: FaceRequest) -> dict[str, Any]:
        return await compute(studio.open, body.key)

    @app.post("/api/people")
    async def add_person(body: PersonRequest) -> dict[str, Any]:
        return await compute(studio.add_person, body.gender, body.age_group)

    @app.post("/api/pictures")
    async def add_picture(request: Request, name: str, crop: bool = False) -> Any:
        if request.headers.get("content-type") != "application/octet-stream":
            return JSONResponse({"error": "a picture is sent as application/octet-stream"}, 415)
        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > MAX_UPLOAD:
                return JSONResponse(
                    {"error": f"{name} is larger than {MAX_UPLOAD // 2**20} MB"}, 413
                )
        return await compute(studio.add_picture, bytes(content), name, crop)

    @app.post("/api/edits")
    async def edit(body: EditRequest) -> Any:
        newest.note(body.client, body.number)

        def work() -> dict[str, Any] | None:
            if newest.is_stale(body.client, body.number):
                return None
            return studio.edit(body.face, body.levels, body.method, body.reference, body.preview)

        answer = await compute(work)
        return Response(status_code=204) if answer is None else answer

    return app


class _Server(uvicorn.Server):
    """Calls `on_ready` once it accepts connections."""

    on_ready: Callable[[], None]

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.on_ready()


def serve_studio(
    studio: Studio, port: int, on_ready: Callable[[str], None] = lambda url: None
) -> None:
    """Serve the page until it is interrupted.

    Args:
        studio: what to serve.
        port: TCP port; 0 for any free one.
        on_ready: called with the URL once it answers.

    Raises:
        FacsimileError: the port is taken.
    """
    with reserve(port) as socket:
        url = f"http://{HOST}:{socket.getsockname()[1]}/"
        config = uvicorn.Config(
            create_app(studio), log_level="error", lifespan="on", timeout_graceful_shutdown=1
        )
        server = _Server(config)
        server.on_ready = lambda: on_ready(url)
        # uvicorn ends the server on Ctrl-C, and then raises the signal again.
        with suppress(KeyboardInterrupt):
            server.run(sockets=[socket])
