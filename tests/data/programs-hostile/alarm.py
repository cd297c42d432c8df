# expect: runtime-error: AttributeError
import signal

signal.alarm(1)
