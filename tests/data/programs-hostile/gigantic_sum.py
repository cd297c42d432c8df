# expect: runtime-error
# The compiler recurses over a hundred thousand additions.
print(eval("+".join(["1"] * 100_000)))
