"""Whether weights hold NaN or infinity, found without disturbing memory.

Touching a mapped tensor would make all its pages resident, and pages are slow to fault in one by
one. So the file is read through one small buffer instead: 0.1 s and 1 MiB for a full-size model of
268 MB that the system has in memory. A number is not finite exactly if all the bits of its exponent
are set, so integers are compared, whatever the format of the numbers.
"""

import json
import struct
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distilbert.errors import FileError

_EXPONENTS: dict[torch.dtype, tuple[type[np.unsignedinteger], int]] = {
    torch.float16: (np.uint16, 0x7C00),
    torch.bfloat16: (np.uint16, 0x7F80),
    torch.float32: (np.uint32, 0x7F800000),
    torch.float64: (np.uint64, 0x7FF0000000000000),
}
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
_CHUNK = 2**20  # bytes: stays in a processor's cache


def can_read(dtype: torch.dtype) -> bool:
    """Whether `FileReader.finite` knows this format of numbers."""
    return dtype in _EXPONENTS


def finite_tensor(tensor: Tensor) -> bool:
    """Whether all values of a tensor are finite."""
    if tensor.device.type != "cpu" or not can_read(tensor.dtype):
        return bool(torch.isfinite(tensor).all())
    pieces = torch.split(tensor.detach().flatten(), _CHUNK // tensor.element_size())
    return all(_finite(piece.view(torch.uint8).numpy(), tensor.dtype) for piece in pieces)


class FileReader:
    """Looks at the tensors of one safetensors file, which has been opened before, so is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                self._header = json.loads(file.read(length))
        except (OSError, ValueError, struct.error) as error:
            raise self._changed(error) from error
        self._start = 8 + length
        self._buffer = bytearray(_CHUNK)

    def finite(self, key: str, dtype: torch.dtype) -> bool:
        """Whether all values of the tensor are finite. Raises FileError if the file has changed."""
        try:
            return all(_finite(piece, dtype) for piece in self._pieces(key))
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise self._changed(error) from error

    def _pieces(self, key: str) -> Iterator[Bytes]:
        start, end = self._header[key]["data_offsets"]
        whole = np.frombuffer(self._buffer, np.uint8)
        with FileIO(self.path) as file:
            file.seek(self._start + start)
            for at in range(start, end, _CHUNK):
                piece = memoryview(self._buffer)[: min(_CHUNK, end - at)]
                _read_whole(file, piece)
                yield whole[: len(piece)]

    def _changed(self, error: Exception) -> FileError:
        return FileError(
            f"{str(self.path)!r} changed while it was read ({error}); load it again once nothing "
            "writes to it"
        )


def _read_whole(file: FileIO, piece: memoryview) -> None:
    while piece:
        count = file.readinto(piece)
        if not count:
            raise ValueError("it is shorter now")
        piece = piece[count:]


def _finite(piece: Bytes, dtype: torch.dtype) -> bool:
    kind, exponent = _EXPONENTS[dtype]
    bits = piece.view(kind)
    return bits.size == 0 or int((bits & kind(exponent)).max()) != exponent
