# expect: runtime-error: ValueError
import sys

sys.excepthook = lambda *arguments: print("ok")
raise ValueError("it failed all the same")
