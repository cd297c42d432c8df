# expect: accepted
import sys

if __name__ == "__main__":
    print("ok" if len(sys.argv) == 1 else "no")
