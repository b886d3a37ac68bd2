"""The eyes of a loaded model: its projector, which turns pictures into cells' contents in a thread of its own."""

import ctypes
import io
import os
import struct
import zlib
from collections import OrderedDict
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import UserError
from models.projector import read_projector
from runtime.config import LoadConfig
from runtime.device import machine
from runtime.llama import LOG, Model, device_list, lib
from runtime.picture import BROKEN, Picture, check_picture, picture_size

KEPT_BYTES = 64 << 20                           # of what pictures became, for the next time one is shown
WAIT_S = 0.02                                   # how long the main thread sleeps while it has nothing but to wait
SPARE_MB = 300                                  # the encoder's working memory

Look = futures.Future[np.ndarray]               # (tokens, width) float32, or the UserError that came of it


class Eyes:
    """Pictures in, embeddings out: one at a time, so that none is looked at for a request that has gone.

    For one thread that asks; the library's part runs in another.
    """

    def __init__(self, path: Path, model: Model, config: LoadConfig, threads: int):
        """Raises UserError if the file at path is no projector that can be used. It is loaded at the first picture."""
        self.projector = read_projector(path)
        self.encoded = 0                        # pictures that the encoder was run on
        self._model, self._config, self._threads = model, config, threads
        self._thread = futures.ThreadPoolExecutor(1, "eyes")
        self._looks: OrderedDict[int, Look] = OrderedDict()
        self._last: Look | None = None
        self._handle: Any = None

    def look(self, picture: Picture) -> Look | None:
        """What the picture becomes, as soon as it is known; remembered for a while. None: busy, ask again."""
        number = picture.id
        known = self._looks.get(number)
        if known is None or (known.done() and known.exception()):
            if self._last and not self._last.done():
                return None
            known = self._looks[number] = self._last = self._thread.submit(self._encoded, picture)
        self._looks.move_to_end(number)
        each = self.projector.tokens * self.projector.width * 4
        while len(self._looks) > max(1, KEPT_BYTES // each):
            self._looks.popitem(last=False)     # whoever waits for it holds it
        return known

    def wait(self) -> None:
        """Sleep while a picture is being looked at, but not long."""
        if self._last:
            futures.wait([self._last], WAIT_S)

    def close(self) -> None:
        """Give the memory back; before the model's."""
        self._thread.shutdown(cancel_futures=True)
        if self._handle:
            _mtmd().mtmd_free(self._handle)
            self._handle = None

    # in the thread

    def _encoded(self, picture: Picture) -> np.ndarray:
        square = pixels(picture, self.projector.side)
        if self._handle is None:
            self._handle = self._load()
        mtmd = _mtmd()
        bitmap = mtmd.mtmd_bitmap_init(square.shape[1], square.shape[0],
                                       square.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)))
        part = mtmd.mtmd_input_part(bitmap=bitmap)
        chunks = mtmd.mtmd_input_chunks_init()
        try:
            parts = (ctypes.POINTER(mtmd.mtmd_input_part) * 1)(ctypes.pointer(part))
            status = mtmd.mtmd_tokenize_from_parts(self._handle, chunks, parts, 1, False)
            found = [chunk for chunk in (mtmd.mtmd_input_chunks_get(chunks, k) for k in
                                         range(mtmd.mtmd_input_chunks_size(chunks) if not status else 0))
                     if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE]
            if len(found) != 1 or mtmd.mtmd_input_chunk_get_n_tokens(found[0]) != picture.tokens:
                raise RuntimeError(f"libmtmd makes {len(found)} chunks of a picture (status {status})")
            if mtmd.mtmd_encode_chunk(self._handle, found[0]):
                raise UserError(f"The picture could not be computed: {LOG.last_error() or 'libmtmd gave no reason'}.")
            made = np.ctypeslib.as_array(mtmd.mtmd_get_output_embd(self._handle),
                                         shape=(picture.tokens, self.projector.width)).copy()
        finally:
            mtmd.mtmd_input_chunks_free(chunks)
            mtmd.mtmd_bitmap_free(bitmap)
        if not np.isfinite(made).all():
            raise UserError(f"{self.projector.path.name} computes no finite numbers; it is damaged, or was converted "
                            "wrongly.")
        self.encoded += 1
        return made

    def _load(self) -> Any:
        needed, free = self.projector.bytes / 1e6 + SPARE_MB, machine().free_mb
        if needed > free:
            raise UserError(f"The projector {self.projector.path.name} takes {needed:,.0f} MB of memory and "
                            f"{free:,} MB are free; close other programs, or use a shorter context.")
        mtmd, config = _mtmd(), self._config
        LOG.listen_to(mtmd.mtmd_log_set)
        params = mtmd.mtmd_context_params_default()
        params.use_gpu = config.device != "cpu" and config.gpu_layers != 0
        if params.use_gpu and config.device:
            params.device = device_list(config.device)[0]
        params.print_timings = params.warmup = False
        params.n_threads = self._threads
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED if config.exact else lib.LLAMA_FLASH_ATTN_TYPE_AUTO
        handle = mtmd.mtmd_init_from_file(os.fsencode(self.projector.path), self._model.handle, params)
        if not handle:
            raise UserError(f"libmtmd can not load {self.projector.path.name}: {LOG.last_error() or 'no reason given'}")
        if not mtmd.mtmd_decode_use_non_causal(handle, None):
            raise RuntimeError("libmtmd wants these pictures computed in order, which Galen does not")
        return handle


def pixels(picture: Picture, side: int) -> np.ndarray:
    """The picture as (side, side, 3) uint8, upright and stretched to the square as transformers does it.

    Raises UserError if the file can not be read to its end.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError  # for those who show pictures alone
    check_picture(picture.data)
    try:
        with Image.open(io.BytesIO(picture.data), formats=("PNG", "JPEG")) as opened:
            if opened.size != picture_size(picture.data):
                raise UserError(BROKEN.format("its headers disagree on its size"))
            opened.load()
            upright = ImageOps.exif_transpose(opened)
            if upright.mode.startswith("I"):            # 16 bits of grey: 65,535 is white
                upright = Image.fromarray((np.asarray(upright).astype(np.uint32) >> 8).astype(np.uint8))
            square = upright.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, struct.error, zlib.error, TypeError,
            UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(BROKEN.format(str(error)[:200].rstrip(".") or type(error).__name__)) from error
    return np.ascontiguousarray(square)


def _mtmd() -> Any:
    """The library's binding, imported with the first picture."""
    from llama_cpp import mtmd_cpp
    return mtmd_cpp
