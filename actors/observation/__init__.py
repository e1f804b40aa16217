"""Looking at a running trio program: its tasks, what holds its loop, and a recording of all that it does.

Nothing here is needed to run actors, and all but the recording works for any trio program.
"""

from .frames import FrameView
from .recording import Recording, record
from .tasks import TaskView, survey_tasks, task_tree
from .threads import ThreadView, survey_threads
from .watchdog import Hold, Watchdog

__all__ = [
    "FrameView",
    "Hold",
    "Recording",
    "TaskView",
    "ThreadView",
    "Watchdog",
    "record",
    "survey_tasks",
    "survey_threads",
    "task_tree",
]
