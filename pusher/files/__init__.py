"""The files job: every instrument file reaches its destination once, the same to the last bit, and never half.

from pusher.files import check, open_job

with open_job("synchronise.conf", "instrument") as job:
    print(check(job).advice)
    print(job.run())
"""

from pusher.files.checking import Checked, check
from pusher.files.job import FilesJob
from pusher.files.opening import open_job

__all__ = ["Checked", "FilesJob", "check", "open_job"]
