"""Writes GGUF version 3 files: header, metadata, tensor table, data.

    offset 0   "GGUF", u32 version, u64 tensors, u64 keys          all little-endian
               keys:    string name, u32 type, value               string: u64 bytes, UTF-8
               tensors: string name, u32 n_dims, u64 dims[] (innermost first), u32 type, u64 offset
               zeros to a multiple of 32; tensor data, each at a multiple of 32 behind this place

Q8_0: blocks of 32 numbers, an F16 scale and 32 signed bytes. Norms stay F32: they are vectors.

Source: the GGUF specification (github.com/ggml-org/ggml, docs/gguf.md).
"""

import struct

import numpy as np

ALIGNMENT = 32
F32, F16, Q8_0 = 0, 1, 8  # tensor types
FILE_TYPE = {F32: 0, F16: 1, Q8_0: 7}  # general.file_type
U32, I32, FLOAT, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # types of values


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, item):
    if kind == STRING:
        return string(item)
    return struct.pack({U32: "<I", I32: "<i", FLOAT: "<f", BOOL: "<?"}[kind], item)


def q8_0(matrix):
    """Rows of a multiple of 32 numbers -> bytes."""
    blocks = np.ascontiguousarray(matrix, dtype=np.float32).reshape(-1, 32)
    scale = (np.abs(blocks).max(axis=1) / 127).astype(np.float16)
    divisor = np.where(scale == 0, 1, scale).astype(np.float32)
    out = np.empty(len(blocks), dtype=[("scale", "<f2"), ("values", "i1", 32)])
    out["scale"] = scale
    out["values"] = np.clip(np.rint(blocks / divisor[:, None]), -127, 127)
    return out.tobytes()


class Writer:
    """Keys and tensors in the order in which they are added."""

    def __init__(self):
        self.keys, self.tensors = [], []

    def add(self, name, kind, item):
        self.keys.append(string(name) + struct.pack("<I", kind) + value(kind, item))

    def add_array(self, name, kind, items):
        head = struct.pack("<IIQ", ARRAY, kind, len(items))
        self.keys.append(string(name) + head + b"".join(value(kind, i) for i in items))

    def add_tensor(self, name, array, kind):
        """array: numpy, outermost dimension first; a vector is always stored as F32."""
        if array.ndim == 1:
            kind = F32
        if kind == Q8_0:
            data = q8_0(array)
        else:
            data = np.ascontiguousarray(array, dtype="<f4" if kind == F32 else "<f2").tobytes()
        self.tensors.append((name, array.shape[::-1], kind, data))

    def bytes(self):
        table, at = [], 0
        for name, dims, kind, data in self.tensors:
            table.append(string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, at))
            at += len(data) + -len(data) % ALIGNMENT
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.keys))
        head += b"".join(self.keys) + b"".join(table)
        parts = [head, bytes(-len(head) % ALIGNMENT)]
        for _, _, _, data in self.tensors:
            parts += [data, bytes(-len(data) % ALIGNMENT)]
        return b"".join(parts)
