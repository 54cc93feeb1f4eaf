"""A listener as supervisor's documentation writes one."""

from supervisor import childutils

while True:
    childutils.listener.wait()
    childutils.listener.ok()
