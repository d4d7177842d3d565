"""Prints a report of a column."""

import sys

from metrics import spread


def main(lines=sys.stdin):
    values = [float(line) for line in lines]
    print(f"spread {spread(values):.2f}")


if __name__ == "__main__":
    main()
