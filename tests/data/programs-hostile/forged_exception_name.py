# expect: runtime-error: xxxxxxxxxx
# An exception's type of half a megabyte: what is kept of it fits a table.
import sys

sys.modules["app"].MESSAGE_CHARACTERS_MAX = 10**9
sys.excepthook = lambda *_: None
raise type("x" * 500_000, (Exception,), {})("y")
