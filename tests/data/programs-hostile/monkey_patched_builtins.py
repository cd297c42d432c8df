# expect: wrong-answer
# Replaces what the wrapper might use to report.
import builtins
import sys

for name in ("print", "exec", "compile", "isinstance", "str", "repr", "type", "len", "int"):
    setattr(builtins, name, lambda *arguments, **named: "ok")
sys.exit = sys.excepthook = lambda *arguments: None
sys.stdout.write("nothing\n")
