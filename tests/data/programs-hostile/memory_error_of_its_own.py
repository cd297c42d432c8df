# expect: runtime-error: MemoryError
raise MemoryError("nothing was refused")
