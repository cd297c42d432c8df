# expect: unsupported: no module `numpy`
import numpy as np

print(np.zeros(3))
