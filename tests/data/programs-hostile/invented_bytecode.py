# expect: runtime-error or time-limit or wrong-answer
# Bytecode that no compiler makes: natively this kills the interpreter.
def function():
    return 1


code = function.__code__
function.__code__ = code.replace(co_code=bytes([0x7A, 0xFF, 0x53, 0x03] * 64), co_stacksize=1)
function()
