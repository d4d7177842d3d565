"""Plans jobs that depend on each other for a number of workers."""

from jobs.parse import parse
from jobs.plan import Plan


def plan_text(text, workers):
    """The plan of a text of jobs as rows [job, worker, start, end], in order of start."""
    return [list(row) for row in Plan(parse(text), workers).rows()]


def length(text, workers):
    """When the last job ends."""
    return Plan(parse(text), workers).length()


def critical(text):
    """The chain of jobs that decides how long everything takes with workers enough."""
    jobs = parse(text)
    return Plan(jobs, max(1, len(jobs))).critical()
