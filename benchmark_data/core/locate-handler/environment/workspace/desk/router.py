"""Paths to functions."""

ROUTES = {}


def route(path, methods=("GET",)):
    def keep(function):
        for method in methods:
            ROUTES[method, path] = function
        return function

    return keep
