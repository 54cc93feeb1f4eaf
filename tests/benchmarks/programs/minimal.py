"""The least that a Python listener can be: reads an event, answers it, uses nothing but os."""

import os


def main() -> None:
    answer = b"READY\n"
    while True:
        os.write(1, answer)
        data = os.read(0, 65536)
        while b"\n" not in data and data:
            data += os.read(0, 65536)
        if not data:
            return
        header, _, payload = data.partition(b"\n")
        missing = int(header.rpartition(b"len:")[2]) - len(payload)
        while missing > 0:
            missing -= len(os.read(0, 65536))
        answer = b"RESULT 2\nOKREADY\n"


main()
