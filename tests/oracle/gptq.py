"""GPTQ's format, stated in torch after AutoGPTQ's and GPTQModel's documentation of it.

A linear layer with weight W [out, in] is stored as its transpose in b bits, with the group g_idx[i] of each input i:
  qweight i32 [in b / 32, out]     32 / b inputs of an output a word, code n in the bits from n b on
  qzeros  i32 [groups, out b / 32] zero points of 32 / b outputs; in the first version (`checkpoint_format: gptq`) one is
                                   taken from each of them before they are packed, in the second it is not
  scales  f16 [groups, out]
  g_idx   i32 [in]
and w = (q - z) * s. Here the product is taken in f32. Taking one from a zero borrows from the next code of the word, and
GPTQModel brings that back by adding to whole words.
"""
import torch


def pack(codes, bits):
    """[n, columns] of codes to [n bits / 32, columns] of words."""
    words = codes.reshape(-1, 32 // bits, codes.shape[1]).long() << (torch.arange(0, 32, bits)[None, :, None])
    return signed(words.sum(dim=1))


def unpack(words, bits):
    """The inverse of `pack`."""
    codes = (words.long()[:, None, :] >> torch.arange(0, 32, bits)[None, :, None]) & (2**bits - 1)
    return codes.reshape(-1, words.shape[1])


def signed(words):
    """Words of 32 bits, whatever is above them, as i32."""
    words = words & 0xffffffff
    return torch.where(words >= 2**31, words - 2**32, words).int()


def ones(bits):
    return sum(1 << n for n in range(0, 32, bits))


def quantize(weight, bits, g_idx, symmetric, less_one):
    """The tensors of W [out, in], to nearest and without GPTQ's correction of later columns."""
    groups, top = int(g_idx.max()) + 1, 2**bits - 1
    scales, zeros, codes = [], [], torch.empty(weight.t().shape, dtype=torch.long)
    for group in range(groups):
        members = weight.t()[g_idx == group]
        low, high = members.amin(0).clamp(max=0), members.amax(0).clamp(min=0)
        if symmetric:
            high = torch.maximum(-low, high)
            low = -high
        scale = ((high - low) / top).half()
        zero = torch.full_like(low, (top + 1) / 2) if symmetric else torch.round(-low / scale.float()).clamp(0, top)
        codes[g_idx == group] = torch.round(members / scale.float() + zero).clamp(0, top).long()
        scales.append(scale), zeros.append(zero.long())
    packed = pack(torch.stack(zeros).t(), bits).t()
    if less_one:
        packed = signed(packed.long() - ones(bits))
    return dict(qweight=pack(codes, bits), qzeros=packed.contiguous(), scales=torch.stack(scales), g_idx=g_idx.int())


def dequantize(qweight, qzeros, scales, g_idx, bits, less_one):
    """W [out, in] in f32."""
    packed = signed(qzeros.long() + ones(bits)) if less_one else qzeros
    zeros = unpack(packed.t(), bits).t()
    return ((unpack(qweight, bits) - zeros[g_idx.long()]).float() * scales.float()[g_idx.long()]).t().contiguous()
