"""Runs one untrusted program as `python3 program.py` would, inside a component.

componentize-py imports this module when the component is built and stores the interpreter as it then stands, so
everything a program may import is imported here and nothing is loaded at run time. What the program can reach it can
forge: nothing that this module reports decides a verdict in the program's favour.

It does not limit anything (the host does), does not judge, and never sees an expected output.
"""

import _thread
import array
import atexit
import builtins
import functools
import gc
import importlib
import io
import json
import linecache
import os
import random
import sys
import threading
import traceback
import types
import weakref

from wit_world import exports
from wit_world.exports.runner import (
    MissingModule,
    Outcome_Exited,
    Outcome_OutOfMemory,
    Outcome_Raised,
    Outcome_Unsupported,
    RunnerInfo,
    Uncaught,
)
from wit_world.imports import environment, exit as wasi_exit

# The name that tracebacks and `sys.argv[0]` show.
PROGRAM = "program.py"

# The host refuses longer strings; a message this long tells a person nothing more.
MESSAGE_CHARACTERS_MAX = 2000

# Every module of the standard library that works without files, processes and sockets. Modules that CPython imports
# only when it needs them stand here too (`_pylong`, `string.templatelib`): later there is nothing to load them from.
STANDARD_LIBRARY = """
    __future__ _pylong _pydatetime _pydecimal _strptime abc argparse array ast asyncio atexit base64 bdb binascii
    bisect builtins calendar cmath cmd code codecs codeop collections collections.abc colorsys
    compileall concurrent.futures concurrent.futures.thread configparser contextlib contextvars copy copyreg cProfile
    csv dataclasses datetime decimal difflib dis doctest email encodings.ascii encodings.cp1252 encodings.idna
    encodings.latin_1 encodings.punycode encodings.raw_unicode_escape encodings.unicode_escape encodings.utf_16
    encodings.utf_16_be encodings.utf_16_le encodings.utf_32 encodings.utf_8_sig enum errno faulthandler filecmp
    fileinput fnmatch fractions functools gc getopt getpass gettext glob graphlib gzip hashlib heapq hmac html
    html.entities html.parser importlib importlib.util inspect io ipaddress itertools json json.decoder json.encoder
    json.scanner keyword linecache locale logging marshal math mimetypes modulefinder multiprocessing
    multiprocessing.pool ntpath numbers opcode operator optparse os os.path pathlib pdb pickle pickletools pkgutil
    platform posixpath pprint profile pstats py_compile pyclbr pydoc queue quopri random re reprlib rlcompleter runpy
    sched secrets select selectors shelve shlex shutil signal site socket stat statistics string string.templatelib
    stringprep struct subprocess symtable sys sysconfig tarfile tempfile textwrap this threading time timeit token
    tokenize tomllib trace traceback tracemalloc types typing unicodedata unittest unittest.mock urllib.error
    urllib.parse urllib.request uuid warnings wave weakref xml.dom.minidom xml.etree.ElementTree zipfile zlib
    zoneinfo
""".split()

# Packages that programs are written against and that this runner does not have. An import of one of them, or of a
# part of the standard library that WASI cannot offer, is not the program's fault.
THIRD_PARTY = frozenset(
    """
    aiohttp attr bitarray bs4 cffi cupy cv2 cython Cython django flask gmpy2 hypothesis jax joblib keras lxml
    matplotlib more_itertools mpmath networkx nltk numba numpy orjson pandas PIL polars pyarrow pydantic pypyjit
    pytest regex requests scipy seaborn sklearn sortedcollections sortedcontainers sympy tensorflow torch tqdm yaml
    """.split()
)
REMOVED_FROM_STANDARD_LIBRARY = frozenset(
    "asynchat asyncore cgi cgitb chunk crypt distutils imp pipes smtpd telnetlib".split()
)
# Doors to native code and other processes: a program that knocks there is answered with the exception itself.
REFUSED = frozenset("ctypes _ctypes".split())


# What stands before a function that tests call: the names that starter codes use without importing them (`List`,
# `deque`, `inf`), as the graders of functional datasets have them.
STARTER_IMPORTS = """
import sys
import bisect, collections, copy, functools, heapq, itertools, math, operator, random, re, string
from typing import *
from math import *
from collections import *
from functools import *
from itertools import *
from heapq import *
from bisect import *
from builtins import pow
"""


def import_standard_library():
    """Imports what can be imported, so that the snapshot holds it. A module that WASI lacks stays unsupported."""
    output = sys.stdout
    # `this` prints a poem.
    sys.stdout = io.StringIO()
    try:
        for name in STANDARD_LIBRARY:
            try:
                importlib.import_module(name)
            except ImportError:
                sys.modules.pop(name, None)
    finally:
        sys.stdout = output
    sys.modules.pop("this", None)


class Resource(types.ModuleType):
    """The module `resource`: programs ask it for a deeper stack, which the host decides."""

    RLIM_INFINITY = -1
    RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_NOFILE, RLIMIT_AS = 0, 1, 2, 3, 4, 7, 9
    error = OSError

    @staticmethod
    def getrlimit(_resource):
        """No limit is known inside."""
        return (-1, -1)

    @staticmethod
    def setrlimit(_resource, _limits):
        """Accepted and without effect."""


def start_inline(thread):
    """`Thread.start`: WASI has no threads, so the thread runs to its end here.

    That is what the idiom `threading.stack_size(n); Thread(target=main).start()` needs. An exception ends only the
    thread, as everywhere.
    """
    if not thread._initialized:
        raise RuntimeError("thread.__init__() not called")
    if thread._started.is_set():
        raise RuntimeError("threads can only be started once")
    thread._started.set()
    thread._ident = _thread.get_ident()
    try:
        thread.run()
    except SystemExit:
        pass
    except BaseException:
        threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), thread)))
    finally:
        thread._inline_finished = True


def start_new_thread_inline(function, args, kwargs=None):
    """`_thread.start_new_thread`, run to its end here."""
    try:
        function(*args, **(kwargs or {}))
    except SystemExit:
        pass
    return _thread.get_ident()


def install_threads():
    """Makes threads run inline and lets a program ask for any stack."""
    stack_size = 0

    def set_stack_size(size=0):
        nonlocal stack_size
        if size < 0:
            raise ValueError("size must be 0 or a positive value")
        previous, stack_size = stack_size, size
        return previous

    def join(thread, timeout=None):
        if not thread._started.is_set():
            raise RuntimeError("cannot join thread before it is started")

    def is_alive(thread):
        return thread._started.is_set() and not getattr(thread, "_inline_finished", False)

    threading.stack_size = _thread.stack_size = set_stack_size
    threading.Thread.start = start_inline
    threading.Thread.join = join
    threading.Thread.is_alive = is_alive
    _thread.start_new_thread = start_new_thread_inline


def install_cache():
    """Replaces the unbounded `lru_cache` by one in Python.

    Calls through C take the WASM shadow stack, which ends after some hundred levels; calls from Python to Python do
    not. Memoized recursion to a depth of 10⁵ needs the latter.
    """
    bounded = functools.lru_cache
    make_key = functools._make_key
    missing = object()

    def unbounded(function, typed):
        memory = {}
        hits = misses = 0

        def cached(*args, **kwargs):
            nonlocal hits, misses
            if kwargs or typed:
                key = make_key(args, kwargs, typed)
            else:
                key = args[0] if len(args) == 1 and type(args[0]) in (int, str) else args
            value = memory.get(key, missing)
            if value is missing:
                misses += 1
                value = memory[key] = function(*args, **kwargs)
            else:
                hits += 1
            return value

        def cache_info():
            return functools._CacheInfo(hits, misses, None, len(memory))

        def cache_clear():
            nonlocal hits, misses
            hits = misses = 0
            memory.clear()

        cached.cache_info = cache_info
        cached.cache_clear = cache_clear
        cached.cache_parameters = lambda: {"maxsize": None, "typed": typed}
        return functools.update_wrapper(cached, function)

    def lru_cache(maxsize=128, typed=False):
        if maxsize is None:
            return lambda function: unbounded(function, typed)
        return bounded(maxsize, typed)

    def cache(user_function, /):
        return unbounded(user_function, False)

    functools.lru_cache = functools.update_wrapper(lru_cache, bounded)
    functools.cache = functools.update_wrapper(cache, functools.cache)


def install_word_size():
    """Makes this 32-bit build look like the 64-bit one that programs are written for, where that is harmless.

    `INF = sys.maxsize` must exceed every sum, and `array('l')` must hold eight bytes. What still differs: `len` and
    `islice` refuse numbers above 2**31 - 1, and the hashes of large integers.
    """
    sys.maxsize = 2**63 - 1
    native = array.array

    class Array(native):
        __slots__ = ()

        def __new__(cls, typecode, *initial):
            return native.__new__(cls, {"l": "q", "L": "Q"}.get(typecode, typecode), *initial)

    Array.__name__ = Array.__qualname__ = "array"
    Array.__module__ = "array"
    array.array = array.ArrayType = Array


def install_descriptors():
    """`os._exit`, `os.fstat(0)` and `open('/dev/stdin')`: what WASI offers in another way than CPython asks."""
    fstat = os.fstat
    real_open = builtins.open
    devices = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2, "/dev/fd/0": 0, "/proc/self/fd/0": 0}

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
        if type(file) is str and file in devices:
            file = devices[file]
            kwargs.setdefault("closefd", False)
        return real_open(file, *args, **kwargs)

    os._exit = exit_now
    os.fstat = fstat_with_input_size
    builtins.open = io.open = open_device


def open_standard_streams():
    """The three text streams as CPython opens them on pipes in a UTF-8 locale; returns the one for output."""

    def stream(fd, mode, errors, line_buffering):
        raw = io.FileIO(fd, mode, closefd=False)
        buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
        text = io.TextIOWrapper(
            buffer, encoding="utf-8", errors=errors, newline=None if mode == "r" else "\n", line_buffering=line_buffering
        )
        text.mode = mode
        return text

    sys.stdin = sys.__stdin__ = stream(0, "r", "strict", False)
    sys.stdout = sys.__stdout__ = stream(1, "w", "strict", False)
    sys.stderr = sys.__stderr__ = stream(2, "w", "backslashreplace", True)
    return sys.stdout


def plain_text(make):
    """A string that WIT can carry, made by code the program may have written."""
    try:
        text = make()
        if not isinstance(text, str):
            text = repr(text)
    except BaseException as error:
        # A `SystemExit` here would end the run in the program's favour.
        text = f"<{type(error).__name__} while printing>"
    return text[:MESSAGE_CHARACTERS_MAX].encode("utf-8", "backslashreplace").decode("utf-8")


def missing_module(error):
    """The module that the runner lacks, where that is why `error` was raised."""
    if not isinstance(error, ModuleNotFoundError) or not isinstance(error.name, str):
        return None
    package = error.name.partition(".")[0]
    if package in REFUSED or package in sys.modules and "." not in error.name:
        return None
    known = package in THIRD_PARTY or package in REMOVED_FROM_STANDARD_LIBRARY or package in sys.stdlib_module_names
    return error.name if known else None


def is_out_of_memory(error):
    """Whether memory was refused. A parser that gives up raises MemoryError, too, and says so."""
    try:
        return type(error) is MemoryError and not error.args
    except BaseException:
        return False


def exit_code(request):
    """The exit code of a `SystemExit`, as CPython reads it."""
    code = request.code
    if code is None:
        return 0
    if isinstance(code, int):
        # What no machine word holds is -1 to CPython.
        return code & 0xFF if -(2**63) <= code < 2**63 else 255
    print(code, file=sys.stderr)
    return 1


def print_exception(error):
    """Writes a traceback, where that can still be done: the program may have closed or broken anything."""
    try:
        traceback.print_exception(error)
    except BaseException:
        # There is nowhere left to say it.
        pass


def report(error, frames):
    """Writes the traceback to standard error, through the program's own hook where it set one."""
    error.__traceback__ = frames
    hook = sys.excepthook
    try:
        if hook is sys.__excepthook__:
            print_exception(error)
        else:
            hook(type(error), error, frames)
    except SystemExit:
        raise
    except BaseException as again:
        print_exception(again)


def starter_names():
    """The names that `STARTER_IMPORTS` gives a module."""
    names = {}
    exec(STARTER_IMPORTS, names)
    del names["__builtins__"]
    return names


def call_entry_point(main, entry_point, answer, loads, dumps):
    """Calls the function, or the method of a class `Solution`, with an argument for each line of standard input.

    What it returns is written to `answer` as one JSON value. `loads` and `dumps` are those from before the program.
    """
    sys.set_int_max_str_digits(0)
    arguments = [loads(line) for line in sys.stdin.read().split("\n") if line.strip()]
    defined = main.__dict__
    solution = defined.get("Solution")
    if isinstance(solution, type) and hasattr(solution, entry_point):
        function = getattr(solution(), entry_point)
    else:
        function = defined[entry_point]
    answer.write(dumps(function(*arguments)) + "\n")
    answer.flush()


def execute(code, entry_point):
    """Compiles and runs the program; returns its outcome before the exit handlers.

    With an entry point the module has another name, so that `if __name__ == "__main__":` does not run, and what the
    program prints goes to standard error.
    """
    main = types.ModuleType("__main__")
    main.__builtins__ = builtins
    main.__file__ = PROGRAM
    main.__dict__["__annotations__"] = {}
    sys.modules["__main__"] = main
    sys.argv = [PROGRAM]
    call = None
    if entry_point is not None:
        main.__dict__.update(STARTER_NAMES)
        main.__name__ = "solution"
        sys.modules["solution"] = main
        call = functools.partial(call_entry_point, main, entry_point, sys.stdout, json.loads, json.dumps)
        sys.stdout = sys.stderr
    code = code.removeprefix("\ufeff")
    linecache.cache[PROGRAM] = (len(code), None, code.splitlines(keepends=True), PROGRAM)
    depth = 1
    try:
        try:
            program = compile(code, PROGRAM, "exec", dont_inherit=True)
        except BaseException:
            # The traceback of a program that does not compile has no frame.
            depth = 0
            raise
        exec(program, main.__dict__)
        if call is not None:
            # The traceback of a call has the driver's frame as well.
            depth = 2
            call()
        return Outcome_Exited(0)
    except SystemExit as request:
        return Outcome_Exited(exit_code(request))
    except BaseException as error:
        frames = error.__traceback__ if depth else None
        for _ in range(depth):
            frames = frames and frames.tb_next
        try:
            report(error, frames)
        except SystemExit as request:
            return Outcome_Exited(exit_code(request))
        if is_out_of_memory(error):
            return Outcome_OutOfMemory()
        missing = missing_module(error)
        if missing is not None:
            return Outcome_Unsupported(MissingModule(plain_text(lambda: missing)))
        name = plain_text(lambda: type(error).__name__)
        return Outcome_Raised(Uncaught(name, plain_text(lambda: str(error))))


def destroy_globals(first_stdout):
    """Lets go of everything the program made, in CPython's order on its way out.

    A stream class of the program's own that nobody flushed writes its output only when it is destroyed. It must find
    the globals it uses, so they are collected together first; only a module that something still holds is emptied.
    """
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, first_stdout, sys.__stderr__
    main = sys.modules.pop("__main__", None)
    module = weakref.ref(main) if isinstance(main, types.ModuleType) else lambda: None
    del main
    # The snapshot is frozen, so this looks at what the program left and at nothing else.
    gc.collect()
    if module() is not None:
        names = module().__dict__
        for name in names:
            if name != "__builtins__":
                names[name] = None
        gc.collect()


def flush(outcome):
    """Flushes both streams; CPython's own exit code 120 where a program's output could not be written."""
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except BaseException as error:
        print_exception(error)
        outcome = Outcome_Exited(120) if outcome == Outcome_Exited(0) else outcome
    try:
        sys.stderr.flush()
    except BaseException:
        # There is nowhere left to say it.
        pass
    return outcome


def finish(outcome, first_stdout):
    """Runs the exit handlers, destroys what is left and flushes, as CPython does on its way out."""
    atexit._run_exitfuncs()
    outcome = flush(outcome)
    try:
        destroy_globals(first_stdout)
    except BaseException as error:
        # The program may have put anything in the place of its own module.
        print_exception(error)
    # A program may have put another stream in place of the first one and still have written to it.
    return flush(outcome)


class Runner(exports.Runner):
    """The component's one export."""

    def describe(self) -> RunnerInfo:
        return RunnerInfo("python3", "py", f"CPython {sys.version.split()[0]}", True)

    def run(self, code: str, entry_point: str | None):
        first_stdout = open_standard_streams()
        try:
            return finish(execute(code, entry_point), first_stdout)
        except BaseException as error:
            # The program broke the wrapper. A `SystemExit` that got this far is no wish to end well.
            return Outcome_Raised(Uncaught(plain_text(lambda: type(error).__name__), "the runner was broken"))


import_standard_library()
sys.modules["resource"] = Resource("resource")
install_threads()
install_cache()
install_word_size()
install_descriptors()
STARTER_NAMES = starter_names()
# The generator's state is part of the snapshot; a program that does not seed gets the same numbers in every build.
random.seed(0)
sys.setrecursionlimit(1000)
# Nothing of the snapshot is ever garbage: the collector need not look at it, nor dirty its pages. A collection still
# marks what the roots hold, which is the whole snapshot, so there is one for each hundred thousand new containers and
# not for each two thousand.
gc.collect()
gc.freeze()
gc.set_threshold(100_000)
