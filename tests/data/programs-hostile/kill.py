# expect: runtime-error: AttributeError
import os

os.kill(1, 9)
