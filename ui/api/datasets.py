"""/api/datasets: labelled texts to learn from, uploaded as tables."""

import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from models import runs
from models.errors import UserError
from ui.actions.datasets import ENDINGS, Dataset, Datasets
from ui.actions.uploads import told_name, upload_folder
from ui.api.problems import answers
from ui.workbench import Workbench

MOST_FIELDS = 10
MOST_JSON = 100_000                 # bytes
HIGHEST = 2**31 - 1                 # of a number in an address
Number = Annotated[int, InPath(ge=1, le=HIGHEST, description="The number of the dataset")]


class DatasetIn(BaseModel):
    """A dataset that is still empty."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=200)
    description: str | None = Field(None, max_length=10_000)


class DatasetOut(BaseModel):
    """A dataset, and what was found in it."""

    id: int = Field(description="What dataset_id takes")
    name: str
    description: str
    uploaded_at: datetime
    updated_at: datetime
    total_samples: int
    medical_domains: list[str] = Field(description="Its labels")
    domain_distribution: dict[str, int]
    avg_title_length: float
    avg_abstract_length: float
    is_validated: bool = Field(description="It has at least two labels, so that something can be learned")
    file_size_mb: float
    file_extension: str
    notes: list[str] = Field(description="Rows that were left out, with their lines, and what else was noticed")


class UploadOut(BaseModel):
    """What became of an uploaded file."""

    filename: str
    size_mb: float
    status: str
    message: str
    dataset: DatasetOut


class Done(BaseModel):
    """Something was done."""

    message: str
    success: bool = True


def router(bench: Workbench) -> APIRouter:
    """The endpoints over the folder's datasets."""
    routes, sets = APIRouter(tags=["Datasets"], responses=answers(404)), Datasets(bench.home)

    @routes.get("/api/datasets", include_in_schema=False)
    @routes.get("/api/datasets/", summary="Every dataset")
    def every() -> list[DatasetOut]:
        return [shown(one) for one in sets.all()]

    @routes.post("/api/datasets", include_in_schema=False)
    @routes.post("/api/datasets/", summary="Make a dataset, with its table or still empty", openapi_extra=BODY)
    def create(sent: Annotated[Sent, Depends(_sent)]) -> DatasetOut:
        asked = sent.asked
        made = sets.make(asked.name, asked.description or "")
        if sent.file is None:
            return shown(made)
        try:
            return shown(sets.fill(made.id, sent.file, sent.told_name))
        except UserError:
            sets.delete(made.id)
            raise

    @routes.get("/api/datasets/{dataset_id}", summary="One dataset")
    def one(dataset_id: Number) -> DatasetOut:
        return shown(sets.get(dataset_id))

    @routes.delete("/api/datasets/{dataset_id}", summary="Delete a dataset")
    def delete(dataset_id: Number) -> Done:
        return Done(message=f"Dataset '{sets.delete(dataset_id).name}' has been deleted.")

    @routes.post("/api/datasets/{dataset_id}/upload/", include_in_schema=False)
    @routes.post("/api/datasets/{dataset_id}/upload", summary="Put a table into a dataset", openapi_extra=FILE_BODY)
    def upload(dataset_id: Number, sent: Annotated[Sent, Depends(_sent_file)]) -> UploadOut:
        assert sent.file
        filled = sets.fill(dataset_id, sent.file, sent.told_name)
        return UploadOut(filename=sent.told_name, size_mb=round(filled.file_size_mb, 2), status="ready",
                         message=f"{filled.total_samples:,} labelled texts were read.", dataset=shown(filled))

    return routes


class Sent:
    """A request's fields and its file, which lies in the upload folder under a name of ours."""

    def __init__(self, asked: DatasetIn, file: Path | None = None, told: str = ""):
        self.asked, self.file, self.told_name = asked, file, told


def shown(one: Dataset) -> DatasetOut:
    """A dataset as its client sees it."""
    values = {**vars(one), "uploaded_at": datetime.fromtimestamp(one.uploaded_at, UTC),
              "updated_at": datetime.fromtimestamp(one.updated_at, UTC)}
    return DatasetOut(**values)


async def _sent(request: Request) -> AsyncIterator[Sent]:
    """A form with or without a file, or JSON without one."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with _form(request, needs_name=True) as sent:
            yield sent
    else:
        yield Sent(await _told(request))


async def _told(request: Request) -> DatasetIn:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_JSON:
            raise UserError(f"The body has more than {MOST_JSON:,} bytes; send a table as multipart/form-data.")
    try:
        return DatasetIn.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"The dataset can not be read: {'.'.join(map(str, first['loc'])) or 'the body'}: "
                        f"{first['msg']}.") from error


async def _sent_file(request: Request) -> AsyncIterator[Sent]:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise UserError("Send the table as multipart/form-data, in the field file.")
    async with _form(request, needs_name=False) as sent:
        if sent.file is None:
            raise UserError("There is no file; send the table in the field file.")
        yield sent


@asynccontextmanager
async def _form(request: Request, needs_name: bool) -> AsyncIterator[Sent]:
    """The form, its file copied to where the page's uploads lie: it is opened there and nowhere else, and goes after
    the request, whatever becomes of it."""
    async with request.form(max_files=1, max_fields=MOST_FIELDS) as form:
        file, name = form.get("file"), form.get("name")
        told = told_name(file.filename or "") if isinstance(file, UploadFile) else ""
        if not isinstance(name, str) or not name:
            name = told
        if needs_name and not name:
            raise UserError("A dataset needs a name.")
        if file is not None and not isinstance(file, UploadFile):
            raise UserError("The field file is a text; send a file in it.")
        description = form.get("description")
        asked = DatasetIn.model_construct(name=name[:200], description=str(description or "")[:10_000])
        if not isinstance(file, UploadFile):
            yield Sent(asked)
            return
        ending = Path(told).suffix.lower()
        if ending not in ENDINGS:
            raise UserError(f"{told} ends in {ending or 'nothing'}; use one of {', '.join(ENDINGS)}.")
        place = upload_folder() / f"{uuid.uuid4().hex}{ending}"
        runs.make_folder(place.parent)
        try:
            await run_in_threadpool(_copied, file, place)
            yield Sent(asked, place, told)
        finally:
            place.unlink(missing_ok=True)


def _copied(file: UploadFile, to: Path) -> None:
    with to.open("wb") as copy:
        shutil.copyfileobj(file.file, copy)


_FILE = {"type": "string", "format": "binary", "description": f"A table: {', '.join(ENDINGS)}"}
BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {
    "application/json": {"schema": {
        "type": "object", "required": ["name"], "additionalProperties": False, "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 200},
            "description": {"anyOf": [{"type": "string", "maxLength": 10_000}, {"type": "null"}]}}}},
    "multipart/form-data": {"schema": {
        "type": "object", "properties": {"file": _FILE, "name": {"type": "string"},
                                         "description": {"type": "string"}}}}}}}
FILE_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": {
    "type": "object", "required": ["file"], "properties": {"file": _FILE}}}}}}
