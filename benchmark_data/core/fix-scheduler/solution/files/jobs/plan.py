"""The plan: which worker does which job when.

Jobs are placed one after the other. A job can be placed when all jobs that it comes after are placed. Among those that
can be, urgent jobs go first, then those on which the longest chain of work waits, then those that stand first in the
text. A job goes to the worker who is free first, and starts when the worker is free and everything before it is done.

The words used here:

* the *tail* of a job is the time from its start to the end of the longest chain of jobs that come after it, itself
  included; a job on which nothing waits has its own minutes as tail;
* a *row* is (job, worker, start, end), with workers counted from 0 and times in minutes from the beginning;
* the *critical* chain is the one that decides the length of the plan when there are workers enough: making any of its
  jobs shorter may make the plan shorter, while making another job shorter never does.

The plan is worked out once, when it is first needed, and kept: rows, length and the critical chain agree with each
other. A plan never changes its jobs.
"""


class PlanError(ValueError):
    """The jobs cannot be planned as they are; the message names one of them."""


class Plan:
    def __init__(self, jobs, workers):
        if workers < 1:
            raise PlanError("a plan needs a worker")
        self._jobs = jobs
        self._workers = workers
        self._order = list(jobs)
        self._rows = None
        self._tails = None
        self._check()

    # What others ask.

    def rows(self):
        """(job, worker, start, end) in order of start, then of worker."""
        if self._rows is None:
            self._rows = self._place()
        return sorted(self._rows, key=lambda row: (row[2], row[1]))

    def length(self):
        """When the last job ends; 0 without jobs."""
        return max((end for _, _, _, end in self.rows()), default=0)

    def critical(self):
        """Names of the critical chain, first to last."""
        chain = []
        left = list(self._order)
        while left:
            name = max(left, key=self.tail)
            chain.append(name)
            left = [other for other in self._order if name in self._jobs[other].after]
        return chain

    def tail(self, name):
        """Minutes from the job's start to the end of the longest chain that waits for it."""
        if self._tails is None:
            self._tails = self._measure_tails()
        return self._tails[name]

    def idle(self):
        """Minutes that each worker waits between the beginning and the end of the plan."""
        busy = [0] * self._workers
        for _, worker, start, end in self.rows():
            busy[worker] += end - start
        return [self.length() - minutes for minutes in busy]

    # Checking.

    def _check(self):
        """PlanError when a job comes after one that does not exist, or after itself by some way."""
        for job in self._jobs.values():
            for name in job.after:
                if name not in self._jobs:
                    raise PlanError(f"{job.name} comes after {name}, which does not exist")
        done = set()
        for name in self._order:
            self._walk(name, done, ())

    def _walk(self, name, done, path):
        if name in path:
            raise PlanError(f"{name} comes after itself")
        if name in done:
            return
        for earlier in self._jobs[name].after:
            self._walk(earlier, done, (*path, name))
        done.add(name)

    # Tails.

    def _measure_tails(self):
        """The tail of every job, from the jobs that nothing waits for backwards."""
        tails = {}
        waiting = self._waiting()

        def measure(name):
            if name not in tails:
                longest = max((measure(later) for later in waiting[name]), default=0)
                tails[name] = self._jobs[name].minutes + longest
            return tails[name]

        for name in self._order:
            measure(name)
        return tails

    def _waiting(self):
        """For every job the jobs that come right after it."""
        waiting = {name: [] for name in self._order}
        for job in self._jobs.values():
            for name in job.after:
                waiting[name].append(job.name)
        return waiting

    # Placing.

    def _place(self):
        """All rows, in the order in which the jobs were placed."""
        rows = []
        free = [0] * self._workers
        ends = {}
        left = list(self._order)
        while left:
            name = self._next(left, ends)
            left.remove(name)
            worker = free.index(min(free))
            start = self._start(name, free[worker], ends)
            end = start + self._jobs[name].minutes
            rows.append((name, worker, start, end))
            free[worker] = end
            ends[name] = end
        return rows

    def _next(self, left, ends):
        """Which of the jobs that are left is placed next."""
        ready = [name for name in left if self._ready(name, ends)]
        return min(ready, key=self._rank)

    def _ready(self, name, ends):
        return all(earlier in ends for earlier in self._jobs[name].after)

    def _rank(self, name):
        """Smaller is sooner: urgent, then the longest tail, then the order of the text."""
        job = self._jobs[name]
        return (not job.urgent, -self.tail(name), self._order.index(name))

    def _start(self, name, free, ends):
        """When the worker is free and everything before the job is done."""
        start = free
        for name in self._jobs[name].after:
            start = max(start, ends[name])
        return start
