"""Plans as text."""


def gantt(rows, width=1):
    """One line a worker, one letter a minute."""
    workers = max((worker for _, worker, _, _ in rows), default=-1) + 1
    lines = []
    for worker in range(workers):
        line = ""
        for name, whose, start, end in rows:
            if whose == worker:
                line = line.ljust(start * width) + name[0] * (end - start) * width
        lines.append(line)
    return "\n".join(lines)
