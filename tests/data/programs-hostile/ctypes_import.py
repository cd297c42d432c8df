# expect: runtime-error: ModuleNotFoundError
import ctypes

ctypes.string_at(0)
