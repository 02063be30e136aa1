"""An executor for tests that nothing but the results may depend on."""

import pickle


class LastFirst:
    """An executor that runs all tasks before the first is asked for, the last one first, each on a copy."""

    count = 3

    def __init__(self):
        self.numbers = []

    def spread(self, act, tasks):
        found = {task: pickle.loads(pickle.dumps(act))(task) for task in reversed(tasks)}
        for task in tasks:
            self.numbers.append(task)
            yield pickle.loads(pickle.dumps(found[task]))
