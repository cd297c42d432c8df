//! Kernels: the operations that training and decoding are made of, each in a file that opens with its equation.
