"""Values of poll.ini."""

import configparser


def load(path="poll.ini"):
    parser = configparser.ConfigParser()
    parser.read(path)
    return dict(parser["poll"])


def number(values, key):
    return float(values[key])
