# expect: memory-limit
# A hundred kilobytes that unpack to a hundred megabytes.
import zlib

packer = zlib.compressobj(1)
packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
print(len(packed), sum(map(len, [zlib.decompress(packed) for _ in range(10)])))
