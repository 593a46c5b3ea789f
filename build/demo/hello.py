import os
import platform

print(f"Hello from Python {platform.python_version()}, user {os.environ.get('USER') or os.getuid()}, in {os.getcwd()}")
print(f"1 + ... + 1000 = {sum(range(1001))}")
