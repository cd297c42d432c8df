# expect: wrong-answer
# No descriptor but the three can be written or read.
import os

reached = []
for descriptor in range(3, 256):
    for use in (lambda: os.write(descriptor, b"x"), lambda: os.read(descriptor, 1)):
        try:
            use()
            reached.append(descriptor)
        except OSError:
            pass
print("reached", reached)
assert not reached
