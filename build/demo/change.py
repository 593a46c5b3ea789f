"""Doubles each number of numbers.csv and says what the new file's SHA-256 is."""
import hashlib
import sys

path = sys.argv[1]
with open(path, encoding="utf-8") as file:
    lines = [line.split(",") for line in file.read().splitlines()]
with open(path, "w", encoding="utf-8", newline="") as file:
    file.write("".join(f"{name},{int(value) * 2}\n" for name, value in lines))
with open(path, "rb") as file:
    print(hashlib.sha256(file.read()).hexdigest())
