# expect: output-limit
# A buffer of the program's own that is written only at the end.
import io
import sys

sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False), 1 << 24), write_through=False)
for _ in range(40):
    sys.stdout.write("x" * (1 << 20))
