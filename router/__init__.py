"""Which one answers: judge, decide, escalate and account for every request."""
