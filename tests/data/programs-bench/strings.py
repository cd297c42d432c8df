# Building, splitting and searching text.
lines = []
for i in range(100000):
    word = "".join(chr(97 + (i * j) % 26) for j in range(1, 8))
    lines.append(f"{i}:{word.upper()[::-1]}")
text = "\n".join(lines)
found = 0
for line in text.split("\n"):
    number, _, word = line.partition(":")
    if word.count("A") > 1 or word.endswith("ZA") or number.strip("0") == "7":
        found += len(word.replace("A", "bc"))
print(found, text.find("99999"))
