# expect: runtime-error: AttributeError
import os

os.fork()
