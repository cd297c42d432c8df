# expect: runtime-error
# Prints the answer and then empties the wrapper's module: what cannot end well did not end well.
import sys

print("ok", flush=True)
sys._getframe(1).f_globals.clear()
