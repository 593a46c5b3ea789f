"""Tries to reach the host: its files, its processes, its network. Arguments: a file that the host has, a port that the host listens on."""
import os
import socket
import sys

secret, port = sys.argv[1], int(sys.argv[2])
reached = []


def attempt(what, action):
    try:
        action()
    except OSError as error:
        print(f"{what}: {error.strerror or error}")
    else:
        reached.append(what)
        print(f"{what}: REACHED")


def read(path):
    with open(path, "rb") as file:
        return file.read(1000)


def connect(address):
    with socket.create_connection((address, port), timeout=3):
        return address


def write(path):
    with open(path, "wb") as file:
        return file.write(b"was here")


def find_process():
    # The name is put together here, so that it stands in no command line of this sandbox.
    name = b"DoSandbox" + b".Build"
    seen = [pid for pid in os.listdir("/proc") if pid.isdecimal()]
    for pid in seen:
        if name in read(f"/proc/{pid}/cmdline"):
            return pid
    raise OSError(f"{len(seen)} processes in sight, all of this sandbox")


attempt("read a file of the host", lambda: read(secret))
attempt("read /etc/shadow", lambda: read("/etc/shadow"))
attempt("list /root", lambda: os.listdir("/root"))
attempt("write to /usr", lambda: write("/usr/was-here"))
attempt("find a process of the host", find_process)
attempt("connect to the host's loopback", lambda: connect("127.0.0.1"))
for address in sys.argv[3:]:
    attempt(f"connect to the host at {address}", lambda: connect(address))
interfaces = [name for _, name in socket.if_nameindex()]
print(f"network interfaces: {', '.join(interfaces)}")
if interfaces not in ([], ["lo"]):
    reached.append("a network interface")
sys.exit(1 if reached else 0)
