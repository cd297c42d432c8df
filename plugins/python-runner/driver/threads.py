"""Threads: WASI has none, so they run one after another, in an order that depends on the program alone.

A thread runs when it is started, to its end, before `start` returns. Where it must wait for something that only others
can bring (a lock, a queue, an event, a time), there are three ways on, in this order:

1. It has done nothing yet that anyone could see, nor would when it is ended here. Then it begins again when somebody
   else waits, or at the program's end.
2. Threads that wait to begin run now, on top of it, until what it waits for has come; or its time is let pass.
3. Nothing can bring it. Then the thread is given up, as one that waits for ever. Where the program would have gone on
   in it (it is no daemon, what it waited for comes after all, or it catches what ends it), the run ends as unsupported.
   So does one in which something comes that a thread stopped waiting for when its time was over.

A thread is never left in the middle and gone on with later: that would need a stack of its own. Programs whose threads
take turns are therefore unsupported, by name, and never judged by half of what they do.
"""

import _thread
import _threading_local
import dis
import itertools
import queue
import sys
import threading
import time

# What an outcome names that is not there.
UNSUPPORTED = "threads that take turns"

# Instructions that change nothing outside of a function's own frame.
HARMLESS = frozenset(
    """
    CACHE NOP RESUME EXTENDED_ARG COPY_FREE_VARS MAKE_CELL PUSH_NULL POP_TOP COPY SWAP NOT_TAKEN
    LOAD_GLOBAL LOAD_NAME LOAD_FAST LOAD_FAST_BORROW LOAD_FAST_LOAD_FAST LOAD_FAST_BORROW_LOAD_FAST_BORROW
    LOAD_FAST_CHECK LOAD_FAST_AND_CLEAR LOAD_DEREF LOAD_CONST LOAD_SMALL_INT LOAD_ATTR LOAD_SPECIAL LOAD_COMMON_CONSTANT
    STORE_FAST STORE_FAST_STORE_FAST STORE_FAST_LOAD_FAST STORE_FAST_MAYBE_NULL
    BINARY_OP BINARY_SLICE COMPARE_OP CONTAINS_OP IS_OP UNARY_NOT UNARY_NEGATIVE UNARY_INVERT TO_BOOL
    BUILD_TUPLE BUILD_LIST BUILD_MAP BUILD_STRING FORMAT_SIMPLE FORMAT_WITH_SPEC CONVERT_VALUE
    POP_JUMP_IF_TRUE POP_JUMP_IF_FALSE POP_JUMP_IF_NONE POP_JUMP_IF_NOT_NONE JUMP_FORWARD KW_NAMES
    """.split()
)


# What stands in a handler before it is known whether it catches anything.
BEFORE_MATCH = frozenset(
    "PUSH_EXC_INFO COPY POP_EXCEPT NOP EXTENDED_ARG CACHE LOAD_GLOBAL LOAD_NAME LOAD_FAST LOAD_DEREF LOAD_ATTR "
    "BUILD_TUPLE".split()
)


class GivenUp(BaseException):
    """Ends a thread that waits for ever, or that begins again later."""


class Scheduler:
    """Who runs, who waits to begin and who was given up."""

    def __init__(self):
        # The threads that run on top of each other; the main thread is below them.
        self.running = []
        # Those that begin again when others wait.
        self.waiting = []
        # Those that wait for ever, each with what it waits for.
        self.given_up = []
        # What threads waited for in vain until their time was over, while others stood still below them.
        self.timed_out = []
        self.unsupported = False
        self.identifiers = itertools.count(1_000_001)

    def current(self):
        """The thread that runs, or none for the main thread."""
        return self.running[-1] if self.running else None

    def start(self, thread):
        """Runs a thread as far as it goes."""
        thread._ident = next(self.identifiers)
        thread._deadline = None
        threading._active[thread._ident] = thread
        self.run(thread)

    def run(self, thread, is_due=False):
        """Runs the thread from its beginning; `is_due` says that the time it waited for first is the next to come."""
        thread._first_call = None
        thread._is_due = is_due
        self.running.append(thread)
        depth = len(self.running)
        thread._is_finished = True
        # `Thread.run` forgets what it has run.
        work = {name: value for name, value in vars(thread).items() if name in ("_target", "_args", "_kwargs")}
        try:
            thread.run()
        except GivenUp:
            thread._is_finished = False
            vars(thread).update(work)
        except SystemExit:
            pass
        except BaseException:
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), thread)))
        finally:
            del self.running[depth - 1 :]
            thread._first_call = None
            if thread._is_finished:
                threading._active.pop(thread._ident, None)
                if thread in self.waiting or any(other is thread for other, _ in self.given_up):
                    # The program caught what ends the thread and went on without what it waited for.
                    self.unsupported = True

    def touch(self):
        """The thread that runs does something that others may see; the first such call is remembered."""
        if self.running and self.running[-1]._first_call is None:
            self.running[-1]._first_call = outermost_call()

    def wait(self, ready, timeout=None):
        """Waits until `ready`; false where the time is over. Without a timeout this returns only when it has come."""
        if ready():
            return True
        thread = self.current()
        deadline = None if timeout is None else time.monotonic() + timeout
        if thread is not None and thread._first_call is not None and thread._first_call is outermost_call():
            if thread._is_due:
                # It began again because its time is the next to come.
                time_sleep(max(thread._deadline - time.monotonic(), 0))
                thread._first_call = thread
                return ready()
            if has_only_read():
                thread._deadline = deadline if thread._deadline is None else thread._deadline
                self.waiting.append(thread)
                raise GivenUp
        if thread is not None:
            thread._first_call = thread
        while not ready():
            if self.run_one():
                continue
            times = [other._deadline for other in self.waiting if other._deadline is not None]
            earliest = min(times, default=None)
            if deadline is not None and (earliest is None or deadline <= earliest):
                time_sleep(max(deadline - time.monotonic(), 0))
                if thread is not None and not ready():
                    self.timed_out.append(awaited())
                return ready()
            if earliest is None:
                self.give_up(thread)
            self.run_due(earliest)
        return True

    def run_one(self):
        """Lets the threads that wait begin, until one of them gets further than before; false where none does."""
        for thread in list(self.waiting):
            self.waiting.remove(thread)
            self.run(thread)
            if thread not in self.waiting:
                return True
        return False

    def run_due(self, deadline):
        """Runs the thread whose time is the next to come."""
        thread = next(thread for thread in self.waiting if thread._deadline == deadline)
        self.waiting.remove(thread)
        self.run(thread, is_due=True)

    def give_up(self, thread):
        """Nothing will ever bring what the thread waits for."""
        if thread is not None:
            self.given_up.append((thread, awaited()))
            raise GivenUp
        if self.given_up or self.timed_out:
            # One of those might have brought it.
            self.unsupported = True
            raise GivenUp
        # The program waits for itself. A lock of the interpreter says what becomes of that.
        lock = allocate_native_lock()
        lock.acquire()
        lock.acquire()

    def finish(self):
        """The program's end: the interpreter waits for threads that are no daemons."""
        try:
            while self.waiting and not all(thread.daemon for thread in self.waiting):
                if self.run_one():
                    continue
                times = [thread._deadline for thread in self.waiting if thread._deadline is not None]
                if not times:
                    break
                self.run_due(min(times))
        except GivenUp:
            pass
        # Of what is unknown, a verdict needs to know.
        given_up = [(thread, None) for thread in self.waiting if not thread.daemon] + self.given_up
        if any(not thread.daemon or has_come(thing) for thread, thing in given_up):
            self.unsupported = True
        if any(has_come(thing, unknown=False) for thing in self.timed_out):
            self.unsupported = True


RUN_CODE = Scheduler.run.__code__
time_sleep = time.sleep
allocate_native_lock = _thread.allocate_lock
scheduler = Scheduler()


def is_of_library(frame):
    """Whether the frame is of the standard library or of this driver."""
    return frame.f_code.co_filename.startswith(("/python/", "/0/"))


def outermost_call():
    """The frame of the library's function that the program's own code is in, or of the thread's own function."""
    frame = call = sys._getframe(1)
    while frame is not None and frame.f_code is not RUN_CODE and is_of_library(frame):
        frame, call = frame.f_back, frame
    return call


def has_only_read():
    """Whether the thread can begin again without anyone noticing: all that the program did in it was to read."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code is not RUN_CODE:
        if not is_of_library(frame):
            code, position = frame.f_code, frame.f_lasti
            if not reads_only(code, position) or is_seen_to_end(code, position):
                return False
        frame = frame.f_back
    return True


def reads_only(code, position):
    """Whether all instructions that stand before the one at `position` change nothing that others see."""
    for instruction in dis.get_instructions(code):
        if instruction.offset >= position:
            return True
        if instruction.opname not in HARMLESS:
            return False
    return False


def is_seen_to_end(code, position):
    """Whether a `finally` or an `except` without a name around the instruction at `position` runs when it is given up."""
    handlers = dis._parse_exception_table(code)
    for _ in handlers:
        handler = next((handler for handler in handlers if handler.start <= position < handler.end), None)
        if handler is None:
            break
        position = handler.target
        names = (name.opname for name in dis.get_instructions(code) if name.offset >= position)
        decisive = next(name for name in names if name not in BEFORE_MATCH)
        # An `except` with names goes on to the next one around it, and so does what cleans up behind it.
        if decisive not in ("CHECK_EXC_MATCH", "RERAISE"):
            return True
    return False


def awaited():
    """What the thread waits for: the object whose method the program called."""
    return outermost_call().f_locals.get("self")


def has_come(thing, unknown=True):
    """Whether a thread that was given up would go on after all; `unknown` where that cannot be told."""
    if isinstance(thing, queue.Queue | queue.SimpleQueue):
        return thing.qsize() > 0
    if isinstance(thing, threading.Event):
        return thing.is_set()
    if isinstance(thing, threading.Semaphore):
        return thing._value > 0
    if isinstance(thing, Lock):
        return not thing.locked()
    return unknown


class Lock:
    """`threading.Lock`: held or free, and whoever waits for it lets others run."""

    __slots__ = ("_held", "__weakref__")

    def __init__(self):
        self._held = False

    def acquire(self, blocking=True, timeout=-1):
        """Takes the lock; false where it could not."""
        if not blocking and timeout != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        if timeout < 0 and timeout != -1:
            raise ValueError("timeout value must be a non-negative number")
        scheduler.touch()
        if self._held:
            if not blocking or timeout == 0:
                return False
            if not scheduler.wait(lambda: not self._held, None if timeout == -1 else timeout):
                return False
        self._held = True
        return True

    def release(self):
        """Frees the lock, whoever holds it."""
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False

    def locked(self):
        """Whether somebody holds it."""
        return self._held

    acquire_lock, release_lock, locked_lock = acquire, release, locked

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *_error):
        self.release()

    def __repr__(self):
        return f"<{'locked' if self._held else 'unlocked'} _thread.lock object at {id(self):#x}>"


def start(thread):
    """`Thread.start`."""
    if not thread._initialized:
        raise RuntimeError("thread.__init__() not called")
    if thread._started.is_set():
        raise RuntimeError("threads can only be started once")
    scheduler.touch()
    thread._is_finished = False
    thread._started.set()
    scheduler.start(thread)


def join(thread, timeout=None):
    """`Thread.join`."""
    if not thread._initialized:
        raise RuntimeError("Thread.__init__() not called")
    if not thread._started.is_set():
        raise RuntimeError("cannot join thread before it is started")
    if thread is threading.current_thread():
        raise RuntimeError("cannot join current thread")
    scheduler.touch()
    scheduler.wait(lambda: thread._is_finished, None if timeout is None else max(timeout, 0))


def is_alive(thread):
    """`Thread.is_alive`."""
    if thread is threading.main_thread():
        return True
    return thread._started.is_set() and not thread._is_finished


def start_new_thread(function, args, kwargs=None):
    """`_thread.start_new_thread`."""
    thread = threading.Thread(target=function, args=args, kwargs=kwargs or {}, daemon=True)
    thread.start()
    return thread.ident


def sleep(seconds, /):
    """`time.sleep`: others may begin meanwhile, and a thread that begins with it begins when it is over."""
    if scheduler.running or scheduler.waiting:
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        scheduler.touch()
        scheduler.wait(lambda: False, seconds)
    else:
        time_sleep(seconds)


def install():
    """Makes threads run one after another and lets a program ask for any stack."""
    global time_sleep
    time_sleep = time.sleep
    stack_size = 0

    def set_stack_size(size=0):
        nonlocal stack_size
        if size < 0:
            raise ValueError("size must be 0 or a positive value")
        previous, stack_size = stack_size, size
        return previous

    native_ident = _thread.get_ident

    def get_ident():
        thread = scheduler.current()
        return native_ident() if thread is None else thread._ident

    threading.stack_size = _thread.stack_size = set_stack_size
    threading.Thread.start = start
    threading.Thread.join = join
    threading.Thread.is_alive = is_alive
    threading.get_ident = _thread.get_ident = threading.get_native_id = get_ident
    threading.Lock = threading._allocate_lock = _thread.allocate_lock = _thread.allocate = Lock
    # The reentrant lock in Python asks who runs; the one in C knows one thread.
    threading._CRLock = None
    threading.local = _threading_local.local
    queue.SimpleQueue = queue._PySimpleQueue
    _thread.start_new_thread = _thread.start_new = start_new_thread
    time.sleep = sleep
