# expect: wrong-answer
# Walks up to the wrapper and tells it that all is well; the host compares what was written.
import sys

frame = sys._getframe()
seen = []
while frame is not None:
    seen.append(sorted(frame.f_locals))
    for name, value in list(frame.f_globals.items()):
        if name == "exit_code":
            frame.f_globals[name] = lambda request: 0
    frame = frame.f_back
print("accepted")
raise SystemExit(1)
