# expect: accepted
import pickle
from dataclasses import dataclass


@dataclass
class Point:
    x: int


print("ok" if pickle.loads(pickle.dumps(Point(1))) == Point(1) else "no")
