# expect: runtime-error: EEEEEEEE
raise type("E" * 200_000, (Exception,), {})("E" * 200_000)
