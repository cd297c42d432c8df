# expect: runtime-error: FileNotFoundError
import os

print(os.listdir("/"))
