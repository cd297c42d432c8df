# expect: runtime-error: trap
import os

os.abort()
