# expect: wrong-answer
# Not one path leads anywhere; of all devices there is only the null device.
import os

paths = "/proc/self/mem /proc/self/environ /dev/zero /dev/mem /etc/shadow /sys /tmp . .. ~ //".split()
reached = []
for path in paths:
    for use in (os.stat, os.listdir, lambda path: open(path, "rb"), os.readlink, os.mkdir):
        try:
            use(path)
            reached.append((use, path))
        except OSError:
            pass
print("reached", reached)
assert not reached
