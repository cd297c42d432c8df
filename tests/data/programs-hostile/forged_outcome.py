# expect: wrong-answer
# It finds the wrapper through the interpreter and makes it report success; the output stays what it is.
import gc
import sys

for value in gc.get_objects() + list(sys.modules.values()):
    if isinstance(value, type) and value.__name__ in ("Runner", "Outcome_Raised"):
        value.run = lambda self, code: None
for module in list(sys.modules.values()):
    for name in ("Outcome_Raised", "Outcome_Unsupported"):
        if hasattr(module, name) and hasattr(module, "Outcome_Exited"):
            setattr(module, name, lambda _value: module.Outcome_Exited(0))
sys.excepthook = lambda *_: None
raise ValueError("told as exit code 0")
