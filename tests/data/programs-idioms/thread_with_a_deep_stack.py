# expect: accepted
import sys
import threading

sys.setrecursionlimit(10**6)
threading.stack_size(1 << 27)


def depth(n):
    return 0 if n == 0 else depth(n - 1) + 1


def main():
    print("ok" if depth(50000) == 50000 else "no")


thread = threading.Thread(target=main)
thread.start()
thread.join()
