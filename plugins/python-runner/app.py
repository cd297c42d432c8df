"""Runs one untrusted program as `python3 program.py` would, inside a component.

componentize-py imports this module when the component is built and stores the interpreter as it then stands, so
everything a program may import is imported here and nothing is loaded at run time. What the program can reach it can
forge: nothing that this module reports decides a verdict in the program's favour.

It does not limit anything (the host does), does not judge, and never sees an expected output.
"""

import atexit
import builtins
import collections
import functools
import gc
import io
import json
import linecache
import random
import sys
import traceback
import types
import weakref

from driver import clocks, descriptors, event_loop, functions, insertion, library, pools, threads, word_size

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

# The name that tracebacks and `sys.argv[0]` show.
PROGRAM = "program.py"

# The host refuses longer strings; a message this long tells a person nothing more.
MESSAGE_CHARACTERS_MAX = 2000


def install_cache():
    """Replaces `lru_cache` by one in Python.

    Calls through C take the WASM shadow stack, which ends after some hundred levels; calls from Python to Python do
    not. Memoized recursion to a depth of 10⁵ needs the latter.
    """
    native = functools.lru_cache
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

    def bounded(function, maxsize, typed):
        # The least recently used stands first.
        memory = collections.OrderedDict()
        hits = misses = 0

        def cached(*args, **kwargs):
            nonlocal hits, misses
            key = make_key(args, kwargs, typed)
            value = memory.get(key, missing)
            if value is not missing:
                hits += 1
                memory.move_to_end(key)
                return value
            misses += 1
            value = function(*args, **kwargs)
            # The call may have come by here itself, with the same arguments.
            if key not in memory:
                if len(memory) >= maxsize:
                    memory.popitem(last=False)
                memory[key] = value
            return value

        def cache_info():
            return functools._CacheInfo(hits, misses, maxsize, len(memory))

        def cache_clear():
            nonlocal hits, misses
            hits = misses = 0
            memory.clear()

        cached.cache_info = cache_info
        cached.cache_clear = cache_clear
        cached.cache_parameters = lambda: {"maxsize": maxsize, "typed": typed}
        return functools.update_wrapper(cached, function)

    def lru_cache(maxsize=128, typed=False):
        if maxsize is None:
            return lambda function: unbounded(function, typed)
        if isinstance(maxsize, int) and maxsize > 0:
            return lambda function: bounded(function, maxsize, typed)
        if callable(maxsize) and isinstance(typed, bool):
            return bounded(maxsize, 128, typed)
        return native(maxsize, typed)

    def cache(user_function, /):
        return unbounded(user_function, False)

    functools.lru_cache = functools.update_wrapper(lru_cache, native)
    functools.cache = functools.update_wrapper(cache, functools.cache)


def open_standard_streams():
    """The three text streams as CPython opens them on pipes in a UTF-8 locale; returns the one for output.

    Line ends are not translated, in either direction: a program sees the `\\r` of its input, as on Linux.
    """

    def stream(fd, mode, errors, line_buffering):
        raw = io.FileIO(fd, mode, closefd=False)
        buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
        text = io.TextIOWrapper(
            buffer, encoding="utf-8", errors=errors, newline="\n", line_buffering=line_buffering
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
        # As CPython's own, which shows the last calls alone: of a hundred thousand, each line would be looked up.
        limit = None if hasattr(sys, "tracebacklimit") else -1000
        traceback.print_exception(error, limit=limit)
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


def execute(code, entry_point, answer):
    """Compiles and runs the program; returns its outcome before the exit handlers.

    With an entry point the module has another name, so that `if __name__ == "__main__":` does not run, and what the
    function returns goes to `answer`.
    """
    main = types.ModuleType("__main__")
    main.__builtins__ = builtins
    main.__file__ = PROGRAM
    main.__dict__["__annotations__"] = {}
    sys.modules["__main__"] = main
    sys.argv = [PROGRAM]
    call = None
    if entry_point is not None:
        functions.solution_module(PRELUDE_NAMES, main)
        call = functools.partial(functions.call, main, entry_point, answer, json.loads, json.dumps)
    code = code.removeprefix("\ufeff")
    word_size.prepare(code)
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
    except threads.GivenUp:
        return Outcome_Unsupported(MissingModule(threads.UNSUPPORTED))
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
        missing = library.missing_module(error)
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


def is_closed(stream):
    """Whether a stream says that it is closed; one that cannot tell is not."""
    try:
        return bool(stream.closed)
    except BaseException:
        return False


def flush(outcome):
    """Flushes both streams; CPython's own exit code 120 where a program's output could not be written."""
    failed = False
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not is_closed(stream):
                stream.flush()
        except BaseException as error:
            failed = True
            if stream is not sys.stderr:
                print_exception(error)
    return Outcome_Exited(120) if failed and isinstance(outcome, Outcome_Exited) else outcome


def finish(outcome, first_stdout):
    """Ends the threads, runs the exit handlers, flushes and destroys what is left, as CPython does on its way out."""
    threads.scheduler.finish()
    if threads.scheduler.unsupported:
        outcome = Outcome_Unsupported(MissingModule(threads.UNSUPPORTED))
    atexit._run_exitfuncs()
    outcome = flush(outcome)
    try:
        destroy_globals(first_stdout)
    except BaseException as error:
        # The program may have put anything in the place of its own module.
        print_exception(error)
    # A program may have put another stream in place of the first one and still have written to it. It may as well have
    # taken that one apart; a stream that is destroyed says nothing of it.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass
    return outcome


class Runner(exports.Runner):
    """The component's one export."""

    def describe(self) -> RunnerInfo:
        return RunnerInfo("python3", "py", f"CPython {sys.version.split()[0]}", True)

    def run(self, code: str, entry_point: str | None):
        first_stdout = answer = open_standard_streams()
        if entry_point is not None:
            # What the program prints, by whatever way, is no answer.
            descriptors.send_output_to_errors()
            first_stdout = sys.stdout = sys.__stdout__ = sys.stderr
        try:
            return finish(execute(code, entry_point, answer), first_stdout)
        except BaseException as error:
            # The program broke the wrapper. A `SystemExit` that got this far is no wish to end well.
            return Outcome_Raised(Uncaught(plain_text(lambda: type(error).__name__), "the runner was broken"))


library.install()
install_cache()
word_size.install()
insertion.install()
descriptors.install()
clocks.install()
threads.install()
pools.install()
event_loop.install()
PRELUDE_NAMES = functions.prelude_names()
# The generator's state is part of the snapshot; a program that does not seed gets the same numbers in every build.
random.seed(0)
sys.setrecursionlimit(1000)
# Nothing of the snapshot is ever garbage: the collector need not look at it, nor dirty its pages. A collection still
# marks what the roots hold, which is the whole snapshot, so there is one for each hundred thousand new containers and
# not for each two thousand.
gc.collect()
gc.freeze()
gc.set_threshold(100_000)
