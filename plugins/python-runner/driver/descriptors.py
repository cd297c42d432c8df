"""Descriptors and devices: what WASI offers in another way than CPython asks.

`os._exit`, `os.fstat(0)`, the names of the standard streams, and `/dev/null`. There are no other files.
"""

import builtins
import functools
import io
import os

from wit_world.imports import environment, exit as wasi_exit

STREAMS = {
    "/dev/stdin": 0,
    "/dev/stdout": 1,
    "/dev/stderr": 2,
    "/dev/fd/0": 0,
    "/dev/fd/1": 1,
    "/dev/fd/2": 2,
    "/proc/self/fd/0": 0,
    "/proc/self/fd/1": 1,
    "/proc/self/fd/2": 2,
}


class NullDevice(io.RawIOBase):
    """`/dev/null`: takes everything and gives nothing."""

    name = os.devnull

    def __init__(self, mode):
        self.mode = mode

    def readable(self):
        return "r" in self.mode or "+" in self.mode

    def writable(self):
        return "r" not in self.mode or "+" in self.mode

    def seekable(self):
        return True

    def seek(self, _position, _whence=0):
        return 0

    def truncate(self, _size=None):
        # Linux says so of a device that is opened for writing.
        raise OSError(22, "Invalid argument")

    def readinto(self, _memory):
        if not self.readable():
            raise io.UnsupportedOperation("read")
        return 0

    def write(self, data):
        if not self.writable():
            raise io.UnsupportedOperation("write")
        return memoryview(data).nbytes


def open_null(mode="r", buffering=-1, encoding=None, errors=None, newline=None):
    """`/dev/null`, opened as `open` opens a file."""
    letters = mode.replace("b", "").replace("t", "").replace("+", "")
    if letters not in ("r", "w", "a", "x"):
        raise ValueError(f"invalid mode: {mode!r}")
    if letters == "x":
        raise FileExistsError(17, "File exists", os.devnull)
    if "b" in mode and (encoding is not None or errors is not None or newline is not None):
        raise ValueError("binary mode doesn't take an encoding, errors or newline argument")
    raw = NullDevice(mode)
    if buffering == 0:
        if "b" not in mode:
            raise ValueError("can't have unbuffered text I/O")
        return raw
    size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
    buffer_class = io.BufferedRandom if "+" in mode else io.BufferedReader if letters == "r" else io.BufferedWriter
    buffer = buffer_class(raw, size)
    if "b" in mode:
        return buffer
    text = io.TextIOWrapper(buffer, encoding, errors, newline, buffering == 1)
    text.mode = mode
    return text


# The descriptor that a program reaches by the number 1.
output = 1


def send_output_to_errors():
    """From now on descriptor 1 is standard error, for all that opens it or writes to it by its number."""
    global output
    output = 2


def install():
    """Gives programs `os._exit`, `os.fstat(0)` with the input's size, and the devices."""
    fstat = os.fstat
    real_open = builtins.open
    real_write = os.write

    def exit_now(status):
        wasi_exit.exit_with_code(status & 0xFF)

    def fstat_with_input_size(fd):
        status = fstat(fd)
        if fd != 0:
            return status
        fields = list(status)
        fields[6] = int(environment.get_arguments()[1])
        return os.stat_result(fields)

    @functools.wraps(real_open)
    def open_device(file, *args, **kwargs):
        path = file if type(file) in (int, str) or not hasattr(file, "__fspath__") else os.fspath(file)
        if path == 1 and type(path) is int:
            file = output
        elif type(path) is str:
            if path == os.devnull:
                # A descriptor is what `closefd` and `opener` are about; there is none.
                kwargs.pop("closefd", None), kwargs.pop("opener", None)
                return open_null(*args[:5], **kwargs)
            if path in STREAMS:
                file = output if STREAMS[path] == 1 else STREAMS[path]
                kwargs.setdefault("closefd", False)
        return real_open(file, *args, **kwargs)

    @functools.wraps(real_write)
    def write(fd, data, /):
        return real_write(output if fd == 1 else fd, data)

    os._exit = exit_now
    os.write = write
    os.fstat = fstat_with_input_size
    builtins.open = io.open = open_device
