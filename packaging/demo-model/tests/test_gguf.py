"""The GGUF writer: what a reader finds is what was added, at aligned places; Q8_0 loses little."""
import pathlib
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
try:
    import numpy as np
except ImportError:
    print("1..0 # skipped: no numpy here")
    sys.exit(0)
import gguf  # noqa: E402

SCALARS = {gguf.U32: "<I", gguf.I32: "<i", gguf.FLOAT: "<f", gguf.BOOL: "<?"}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        value, = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def string(self):
        n = self.take("<Q")
        self.at += n
        return self.data[self.at - n:self.at].decode()

    def value(self, kind):
        if kind == gguf.STRING:
            return self.string()
        if kind == gguf.ARRAY:
            kind = self.take("<I")
            return [self.value(kind) for _ in range(self.take("<Q"))]
        return self.take(SCALARS[kind])


def read(data):
    """(keys, tensors: name -> (dims, type, bytes up to the next tensor))"""
    r = Reader(data)
    assert data[:4] == b"GGUF"
    r.at = 4
    version, n_tensors, n_keys = r.take("<I"), r.take("<Q"), r.take("<Q")
    assert version == 3
    keys = {r.string(): r.value(r.take("<I")) for _ in range(n_keys)}
    table = []
    for _ in range(n_tensors):
        name = r.string()
        dims = [r.take("<Q") for _ in range(r.take("<I"))]
        table.append((name, dims, r.take("<I"), r.take("<Q")))
    start = r.at + -r.at % gguf.ALIGNMENT
    ends = [offset for *_, offset in table[1:]] + [len(data) - start]
    return keys, {name: (dims, kind, data[start + offset:start + end])
                  for (name, dims, kind, offset), end in zip(table, ends)}


class GgufTest(unittest.TestCase):
    def test_a_reader_finds_what_was_added(self):
        rng = np.random.default_rng(1)
        matrix = rng.normal(size=(3, 64)).astype(np.float32)
        vector = rng.normal(size=5).astype(np.float32)
        out = gguf.Writer()
        out.add("a.text", gguf.STRING, "caf\u00e9")
        out.add("a.number", gguf.U32, 7)
        out.add("a.float", gguf.FLOAT, 0.5)
        out.add("a.flag", gguf.BOOL, True)
        out.add_array("a.words", gguf.STRING, ["x", "", "yz"])
        out.add_array("a.numbers", gguf.I32, [-1, 2])
        for name, array, kind in (("f32", matrix, gguf.F32), ("vector", vector, gguf.Q8_0),
                                  ("f16", matrix, gguf.F16), ("q8", matrix, gguf.Q8_0)):
            out.add_tensor(name, array, kind)
        keys, tensors = read(out.bytes())
        self.assertEqual(keys, {"a.text": "caf\u00e9", "a.number": 7, "a.float": 0.5, "a.flag": True,
                                "a.words": ["x", "", "yz"], "a.numbers": [-1, 2]})
        self.assertEqual({n: (d, k) for n, (d, k, _) in tensors.items()},
                         {"f32": ([64, 3], gguf.F32), "vector": ([5], gguf.F32),
                          "f16": ([64, 3], gguf.F16), "q8": ([64, 3], gguf.Q8_0)})
        self.assertEqual(tensors["f32"][2], matrix.tobytes())
        self.assertEqual(tensors["vector"][2][:20], vector.tobytes())
        self.assertEqual(tensors["f16"][2], matrix.astype(np.float16).tobytes())
        self.assertEqual(len(tensors["q8"][2]), -(-6 * 34 // 32) * 32)

    def test_tensors_lie_at_multiples_of_32(self):
        out = gguf.Writer()
        for i in range(1, 6):
            out.add_tensor(f"t{i}", np.ones(i, dtype=np.float32), gguf.F32)
        self.assertEqual(len(out.bytes()) % gguf.ALIGNMENT, 0)
        for name, (dims, _, data) in read(out.bytes())[1].items():
            self.assertEqual(data[:4 * dims[0]], np.ones(dims[0], dtype=np.float32).tobytes(), name)

    def test_q8_0_is_within_half_a_step(self):
        rng = np.random.default_rng(2)
        cases = {"normal": rng.normal(size=(8, 64)), "zeros": np.zeros((1, 32)), "large": np.full((1, 32), 3e6),
                 "one outlier": np.eye(1, 32) * -100 + 0.1, "tiny": rng.normal(size=(2, 32)) * 1e-4}
        for name, matrix in cases.items():
            with self.subTest(case=name):
                raw = np.frombuffer(gguf.q8_0(matrix), dtype=[("scale", "<f2"), ("values", "i1", 32)])
                back = raw["values"] * raw["scale"].astype(np.float64)[:, None]
                step = np.abs(matrix.reshape(-1, 32)).max(axis=1, keepdims=True) / 127
                off = np.abs(back - matrix.reshape(-1, 32))
                # the scale itself is rounded: up to 2^-11 of the value for normal F16
                self.assertTrue((off <= 0.5 * step + np.abs(matrix).max() * 1e-3 + 1e-7).all(), off.max())


if __name__ == "__main__":
    unittest.main()
