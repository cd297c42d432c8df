# expect: runtime-error
import signal

signal.raise_signal(signal.SIGABRT)
raise RuntimeError("it did not end")
