"""Pools: what is handed to a pool of threads or processes runs at once, in the order it is handed over.

A process of a pool is a thread here: it sees what the program changes, which a copy of the program would not.
"""

import concurrent.futures
import concurrent.futures.thread
import itertools
import multiprocessing
import multiprocessing.context
import multiprocessing.pool
import os
import sys
import threading
import types

from driver.threads import GivenUp


class Executor(concurrent.futures.Executor):
    """`ThreadPoolExecutor`."""

    _numbers = itertools.count()

    def __init__(self, max_workers=None, thread_name_prefix="", initializer=None, initargs=()):
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._max_workers = max_workers or min(32, (os.cpu_count() or 1) + 4)
        self._name = f"{thread_name_prefix or f'ThreadPoolExecutor-{next(self._numbers)}'}_0"
        self._initializer, self._initargs = initializer, initargs
        self._shut_down = self._broken = False

    def submit(self, fn, /, *args, **kwargs):
        """Runs the call in a thread; its result or exception is there when this returns."""
        if self._broken:
            raise concurrent.futures.thread.BrokenThreadPool("A thread initializer failed")
        if self._shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = concurrent.futures.Future()

        def work():
            initializer, self._initializer = self._initializer, None
            try:
                if initializer is not None:
                    initializer(*self._initargs)
            except GivenUp:
                raise
            except BaseException:
                self._broken = True
                future.set_exception(concurrent.futures.thread.BrokenThreadPool("A thread initializer failed"))
                return
            if future.set_running_or_notify_cancel():
                settle(future, fn, args, kwargs)

        threading.Thread(target=work, name=self._name).start()
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        """No call is accepted any more."""
        self._shut_down = True


class ProcessExecutor(Executor):
    """`ProcessPoolExecutor`."""

    def __init__(
        self, max_workers=None, mp_context=None, initializer=None, initargs=(), *, max_tasks_per_child=None
    ):
        super().__init__(max_workers, "", initializer, initargs)

    def map(self, fn, *iterables, timeout=None, chunksize=1, **options):
        """The results, in order."""
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        return super().map(fn, *iterables, timeout=timeout, **options)


def settle(future, function, args, kwargs):
    """Gives a future what the call returns or raises."""
    try:
        result = function(*args, **kwargs)
    except GivenUp:
        raise
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


class Result:
    """`AsyncResult`: what a call returned or raised."""

    def __init__(self, function, args, kwargs, callback=None, error_callback=None):
        self._future = concurrent.futures.Future()
        thread = threading.Thread(target=settle, args=(self._future, function, args, kwargs), daemon=True)
        thread.start()
        if self._future.done():
            error = self._future.exception()
            chosen, value = (callback, self._future.result()) if error is None else (error_callback, error)
            if chosen is not None:
                chosen(value)

    def get(self, timeout=None):
        """The value, or its exception."""
        try:
            return self._future.result(timeout)
        except concurrent.futures.TimeoutError:
            if self._future.done():
                raise
            raise multiprocessing.TimeoutError from None

    def wait(self, timeout=None):
        """Waits for the value."""
        concurrent.futures.wait([self._future], timeout)

    def ready(self):
        """Whether it is there."""
        return self._future.done()

    def successful(self):
        """Whether it is a value and no exception."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._future.exception() is None


class Results:
    """What `imap` returns: an iterator whose `next` takes a time."""

    def __init__(self, values):
        self._values = iter(values)

    def __iter__(self):
        return self

    def next(self, timeout=None):
        """The next value."""
        return next(self._values)

    __next__ = next


class Pool:
    """`multiprocessing.Pool` and `ThreadPool`."""

    def __init__(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None, context=None):
        if processes is not None and processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._open = True
        if initializer is not None:
            initializer(*initargs)

    def _check_running(self):
        if not self._open:
            raise ValueError("Pool not running")

    def apply_async(self, func, args=(), kwds={}, callback=None, error_callback=None):
        """Calls the function once."""
        self._check_running()
        return Result(func, args, kwds, callback, error_callback)

    def map_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        """Calls the function with each item."""
        self._check_running()
        items = list(iterable)
        return Result(lambda: [func(item) for item in items], (), {}, callback, error_callback)

    def starmap_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        """Calls the function with the items of each item."""
        self._check_running()
        items = list(iterable)
        return Result(lambda: [func(*item) for item in items], (), {}, callback, error_callback)

    def apply(self, func, args=(), kwds={}):
        """What the call returns."""
        return self.apply_async(func, args, kwds).get()

    def map(self, func, iterable, chunksize=None):
        """What the calls return."""
        return self.map_async(func, iterable).get()

    def starmap(self, func, iterable, chunksize=None):
        """What the calls return."""
        return self.starmap_async(func, iterable).get()

    def imap(self, func, iterable, chunksize=1):
        """What the calls return, one by one."""
        self._check_running()
        return Results(Result(func, (item,), {}).get() for item in iterable)

    imap_unordered = imap

    def close(self):
        """No call is accepted any more."""
        self._open = False

    terminate = close

    def join(self):
        """All calls are over."""
        if self._open:
            raise ValueError("Pool is still running")

    def __enter__(self):
        self._check_running()
        return self

    def __exit__(self, *_error):
        self.terminate()


def install():
    """Puts them in the place of those that need threads and processes."""
    futures = concurrent.futures
    futures.ThreadPoolExecutor = futures.thread.ThreadPoolExecutor = Executor
    # The module of the real one starts with what forks.
    process = types.ModuleType("concurrent.futures.process")
    process.ProcessPoolExecutor = futures.ProcessPoolExecutor = ProcessExecutor
    process.BrokenProcessPool = type("BrokenProcessPool", (futures.BrokenExecutor,), {"__module__": process.__name__})
    sys.modules[process.__name__] = futures.process = process
    for executor, module in ((Executor, "thread"), (ProcessExecutor, "process")):
        executor.__name__ = executor.__qualname__ = f"{module.capitalize()}PoolExecutor"
        executor.__module__ = f"concurrent.futures.{module}"
    Pool.__module__, Result.__module__ = "multiprocessing.pool", "multiprocessing.pool"
    multiprocessing.pool.Pool = multiprocessing.pool.ThreadPool = Pool
    multiprocessing.pool.AsyncResult = multiprocessing.pool.ApplyResult = Result
    make = lambda self, processes=None, initializer=None, initargs=(), maxtasksperchild=None: Pool(
        processes, initializer, initargs, maxtasksperchild
    )
    multiprocessing.context.BaseContext.Pool = make
    multiprocessing.Pool = multiprocessing.context._default_context.Pool
