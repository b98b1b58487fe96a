"""How long each stage may take. What belongs to a rollback is short, since a rollback's limits add up (see ``pipelines.budget``)."""

from datetime import timedelta

CHECK = timedelta(minutes=1)
PREFLIGHT = timedelta(minutes=5)
SITE_PREFLIGHT = timedelta(minutes=2)
SMOKE = timedelta(minutes=20)
SMOKE_JOB = timedelta(minutes=19)
"""A little less than the stage, so that the Job fails by itself and says why."""
REPORT = timedelta(seconds=30)
DEPLOY = timedelta(minutes=10)
SHARE = timedelta(seconds=30)
PROMOTE = timedelta(seconds=30)
REVOKE = timedelta(seconds=10)
REMOVE = timedelta(seconds=15)
SETTLE = timedelta(minutes=2)
RETIRE = timedelta(minutes=2)
NOTICE = timedelta(minutes=1)

WATCH_SLACK = timedelta(minutes=1)
"""What a watch stage waits beyond the console's own deadline: its last poll, and an answer that is late."""
PROBING = timedelta(minutes=10)
"""How long probe jobs may at least go on filling up missing samples after a watch."""

ANALYSIS_SLACK = timedelta(minutes=5)
"""What an analysis waits beyond its lifetime: Kayenta's queries and its judge. The candidate is watched for as long."""

DRAIN_HELD = timedelta(minutes=15)
"""How long a run waits for old leases, even where ``release.drain`` gives them hours: a waiting run would hold up the next release.
What drains longer keeps its old Deployment, which KEDA empties as the leases end, and which the next release deletes."""

ROLLBACK_RETRY = timedelta(seconds=30)
"""Before the backstop calls a console that did not answer once more."""
