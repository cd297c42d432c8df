"""asyncio's event loop over nothing: tasks, timers and queues work, and there is no socket or pipe to wait for."""

import asyncio
import asyncio.events
import asyncio.selector_events
import asyncio.unix_events
import selectors
import time


class NothingSelector(selectors.BaseSelector):
    """A selector that knows no file: it waits for the next timer."""

    def register(self, fileobj, events, data=None):
        """Nothing here can be waited for."""
        raise NotImplementedError("asyncio waits for no files or sockets here")

    unregister = modify = register

    def select(self, timeout=None):
        """Lets the time pass."""
        if timeout is None:
            # Nothing will ever wake this loop up: as everywhere, that lasts until a limit is reached.
            while True:
                time.sleep(3600)
        if timeout > 0:
            time.sleep(timeout)
        return []

    def get_map(self):
        """Nothing is registered."""
        return {}


class EventLoop(asyncio.selector_events.BaseSelectorEventLoop):
    """The loop that `asyncio.run` makes."""

    def __init__(self, selector=None):
        super().__init__(NothingSelector())

    def _make_self_pipe(self):
        # Threads run one after another, so nobody wakes the loop up while it waits.
        self._internal_fds += 1
        self._ssock = self._csock = None

    def _close_self_pipe(self):
        self._internal_fds -= 1

    def _write_to_self(self):
        pass

    def add_signal_handler(self, sig, callback, *args):
        """No signal ever comes."""

    def remove_signal_handler(self, sig):
        """There was none."""
        return False


def install():
    """Makes it the loop of every policy and runner."""
    EventLoop.__name__ = EventLoop.__qualname__ = "_UnixSelectorEventLoop"
    EventLoop.__module__ = "asyncio.unix_events"
    asyncio.unix_events._UnixSelectorEventLoop = EventLoop
    asyncio.unix_events._UnixDefaultEventLoopPolicy._loop_factory = EventLoop
    for module in (asyncio, asyncio.unix_events):
        module.SelectorEventLoop = module.EventLoop = EventLoop
