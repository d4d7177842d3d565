"""Jobs as text: one a line, `name minutes after...`; a `!` behind the name makes it urgent."""

from jobs.job import Job


def parse(text):
    """Jobs by name, in the order of the text."""
    jobs = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        job = one(words, number)
        if job.name in jobs:
            raise ValueError(f"line {number}: there are two jobs called {job.name}")
        jobs[job.name] = job
    return jobs


def one(words, number):
    if len(words) < 2 or not words[1].isdigit():
        raise ValueError(f"line {number}: expected a name and minutes")
    urgent = words[0].endswith("!")
    return Job(words[0].rstrip("!"), int(words[1]), tuple(words[2:]), urgent)
