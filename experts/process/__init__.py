"""Running a model in a child process that cannot outlive us."""
