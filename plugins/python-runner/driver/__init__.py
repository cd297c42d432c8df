"""The parts of the driver: what stands between a program written for CPython on Linux and this build for WASI.

Each module changes one thing of the interpreter, once, before the snapshot is taken. None of them limits or judges.
"""
