"""AutoAWQ's 4-bit format, stated in numpy.

A linear layer with weight W [out, in] is stored as its transpose, in groups of g inputs:
  qweight i32 [in, out / 8]     eight outputs a word: nibble n holds output 8 c + ORDER[n]
  qzeros  i32 [in / g, out / 8] zero points, packed in the same way
  scales  f16 [in / g, out]
and w = (q - z) * s. Here the product is taken in f32.
"""
import numpy as np

ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def unpack(words):
    """[rows, out / 8] i32 to [rows, out] of 0..15."""
    nibbles = (words.view(np.uint32)[:, :, None] >> np.arange(0, 32, 4, dtype=np.uint32)) & 15
    out = np.empty_like(nibbles)
    out[:, :, ORDER] = nibbles
    return out.reshape(words.shape[0], -1).astype(np.int32)


def pack(values):
    """The inverse of `unpack`."""
    groups = values.reshape(values.shape[0], -1, 8)[:, :, ORDER].astype(np.uint32)
    return np.bitwise_or.reduce(groups << np.arange(0, 32, 4, dtype=np.uint32), axis=2).astype(np.uint32).view(np.int32)


def dequantize(qweight, qzeros, scales, group):
    """W [out, in] in f32."""
    zeros = np.repeat(unpack(qzeros), group, axis=0)
    scales = np.repeat(scales.astype(np.float32), group, axis=0)
    return np.ascontiguousarray(((unpack(qweight) - zeros).astype(np.float32) * scales).T)


def quantize(weight, group):
    """(qweight, qzeros, scales) of W [out, in], to nearest and without AutoAWQ's search for better scales."""
    groups = weight.T.astype(np.float64).reshape(-1, group, weight.shape[0])
    low, high = groups.min(axis=1), groups.max(axis=1)
    scales = np.maximum((high - low) / 15, 1e-5).astype(np.float16)
    zeros = np.clip(np.round(-low / scales), 0, 15)
    q = np.clip(np.round(groups / scales[:, None]) + zeros[:, None], 0, 15)
    return pack(q.reshape(-1, weight.shape[0])), pack(zeros), scales
