"""The pictures in messages: checked before native code sees one, counted and named for a prompt.

A picture is bytes of a PNG or JPEG file, never an address: nothing is fetched. Its cells stand in a prompt as one
negative id, repeated, that says which picture it is; so the prefix cache tells pictures apart like words.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.errors import UserError
from models.projector import Projector
from tasks.pictures import Shown

MAX_BYTES, MAX_PIXELS, MAX_SIDE = 32 << 20, 50_000_000, 30_000
BEGIN, END = "<start_of_image>", "<end_of_image>"       # of the kind of projector that models/projector.py knows
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
PNG_COLOURS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}    # depths of each kind
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
JPEG_BARE = {0x01, *range(0xD0, 0xD8)}          # markers without a length
BROKEN = "The picture is broken: {}. Save it again as PNG or JPEG."


@dataclass(frozen=True)
class Picture:
    """One picture file. tokens: the cells that it takes in a context."""
    data: bytes = field(repr=False)
    tokens: int

    @property
    def id(self) -> int:
        """What stands in a prompt for each of its cells: below zero, another one for every other file."""
        return -1 - int.from_bytes(hashlib.sha256(self.data).digest()[:8], "big")


def sent(messages: Sequence[Mapping[str, Any]], refusal: str = "") -> list[dict[str, Any]]:
    """Messages as they go to the worker: each picture checked, as {"type": "image", "data": base64 text}.

    refusal: why there can be no picture; "": there can. Raises UserError with it, or for a picture that is none,
    too large or an address.
    """
    return [{**message, "content": [_sent_part(part, refusal) for part in message["content"]]}
            if isinstance(message.get("content"), list) else dict(message) for message in messages]


def _sent_part(part: Any, refusal: str) -> Any:
    kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
    if kind == "text":
        return part
    if kind not in ("image", "image_url"):
        raise UserError(f"A message holds a part of the type {str(kind)[:40]!r}; it may hold text and pictures (image, "
                        "image_url).")
    if refusal:
        raise UserError(refusal)
    data = part.get("data") if part["type"] == "image" else _data_of_address(part.get("image_url"))
    if not isinstance(data, bytes | bytearray):
        raise UserError("A picture in a message holds no bytes; give the content of a PNG or JPEG file.")
    check_picture(bytes(data))
    return {"type": "image", "data": base64.b64encode(data).decode()}


def _data_of_address(value: Any) -> bytes:
    """The bytes in a data: address. Raises UserError for any other one."""
    address = value.get("url") if isinstance(value, Mapping) else value
    if not isinstance(address, str) or not address.startswith("data:"):
        raise UserError(f"The picture is given by the address {str(address)[:60]!r}; Galen fetches nothing. Send the "
                        "picture itself, as bytes or as a data: address.")
    head, _, text = address.partition(",")
    try:
        if not head.endswith(";base64"):
            raise ValueError
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UserError("The data: address of a picture is no base64; send data:image/png;base64,...") from None


def received(messages: Sequence[Mapping[str, Any]],
             projector: Projector) -> tuple[list[dict[str, Any]], dict[int, Picture]]:
    """Messages for tasks/prompt.py, and the pictures in them by their ids."""
    pictures: dict[int, Picture] = {}
    ready = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            content = [_received_part(part, projector, pictures) for part in content]
        ready.append({**message, "content": content})
    return ready, pictures


def _received_part(part: Any, projector: Projector, pictures: dict[int, Picture]) -> Any:
    if not isinstance(part, Mapping) or part.get("type") != "image":
        return part
    picture = Picture(base64.b64decode(part["data"]), projector.tokens)
    number = picture.id
    pictures[number] = picture
    return {"type": "image", "picture": Shown((number,) * picture.tokens, BEGIN, END)}


def check_picture(data: bytes) -> None:
    """Raise UserError unless data begins like a PNG or JPEG of a size that can be shown to a model."""
    if len(data) > MAX_BYTES:
        raise UserError(f"The picture's file has {len(data) / 1e6:,.0f} MB and may have {MAX_BYTES / 1e6:,.0f}; "
                        "make it smaller, a model sees it at less than 1,000 pixels a side anyway.")
    width, height = picture_size(data)
    if min(width, height) < 1:
        raise UserError(BROKEN.format(f"it has {width} x {height} pixels"))
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise UserError(f"The picture has {width:,} x {height:,} pixels; at most {MAX_PIXELS:,} pixels and "
                        f"{MAX_SIDE:,} a side can be read. Make it smaller.")


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels as the file's header says. Raises UserError if it is no PNG or JPEG."""
    if data.startswith(PNG):
        if len(data) < 33 or data[8:16] != b"\0\0\0\rIHDR":
            raise UserError(BROKEN.format("its PNG header is cut short"))
        width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
        if depth not in PNG_COLOURS.get(colour, ()):
            raise UserError(BROKEN.format(f"its PNG header names {depth} bits for colours of kind {colour}"))
        return width, height
    if data.startswith(JPEG):
        for marker, segment in _jpeg_segments(data):
            if marker in JPEG_FRAMES and len(segment) >= 6:
                height, width, components = struct.unpack(">HHB", segment[1:6])
                if components in (1, 3, 4):
                    return width, height
        raise UserError(BROKEN.format("its JPEG header does not say how large it is"))
    raise UserError(f"The picture is neither PNG nor JPEG (it begins with {data[:8]!r}); save it as one of these.")


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, content) of the segments in front of the pixels."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in JPEG_BARE:       # filling, or nothing follows
            at += 1 if marker == 0xFF else 2
            continue
        length = struct.unpack(">H", data[at + 2:at + 4])[0]
        if marker == 0xDA or length < 2:
            return
        yield marker, data[at + 4:at + 2 + length]
        at += 2 + length
