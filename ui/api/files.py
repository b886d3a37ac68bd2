"""Large files between a page and the folder: a model or a backup in, streamed to the disk; a backup out."""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.requests import ClientDisconnect

from models import runs
from models.errors import UserError
from ui.actions import backup
from ui.history import Locked
from ui.workbench import Workbench

SCRATCH = runs.SCRATCH + "sent-"                # begins the name of a file on its way


def router(bench: Workbench) -> APIRouter:
    """PUT /files/model?name=NAME and /files/backup?name=NAME with the file as body; GET /files/backup/NAME."""
    routes = APIRouter(prefix="/files", include_in_schema=False)
    for left in bench.home.glob(SCRATCH + "*"):     # of a start that was killed
        left.unlink()

    @routes.put("/model")
    async def put_model(request: Request, name: str) -> JSONResponse:
        return await _taken(bench, request, lambda: bench.models.new_file(name), bench.models.take)

    @routes.put("/backup")
    async def put_backup(request: Request, name: str) -> JSONResponse:
        return await _taken(bench, request, lambda: backup.new_file(bench.home, name), backup.take)

    @routes.get("/backup/{name}")
    def get_backup(name: str) -> Response:
        try:
            if bench.history.is_locked:
                raise Locked                    # it may be one of before there was a passphrase
            return FileResponse(backup.find(bench.home, name), filename=name, media_type="application/zip")
        except UserError as error:
            return JSONResponse({"problem": str(error)}, status_code=404)

    return routes


async def _taken(bench: Workbench, request: Request, place: Callable[[], Path],
                 take: Callable[[Path, Path], None]) -> JSONResponse:
    bench.touch()
    part = bench.home / f"{SCRATCH}{secrets.token_hex(8)}.part"
    try:
        to = place()
        with part.open("xb") as file:
            async for block in request.stream():
                await asyncio.to_thread(file.write, block)
        await asyncio.to_thread(take, part, to)
        return JSONResponse({"file": to.name})
    except UserError as error:
        return _refused(str(error))
    except ClientDisconnect:
        return _refused("The file was cancelled.")
    except OSError as error:
        full = runs.is_disk_full(error)
        return _refused("The disk is full; free some space and try again." if full else
                        f"The file could not be written ({error.strerror}).")
    finally:
        part.unlink(missing_ok=True)


def _refused(problem: str) -> JSONResponse:
    return JSONResponse({"problem": problem}, status_code=422)
