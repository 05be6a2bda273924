"""Real servers for tests: each module has one class, a context manager that starts its server in a temporary folder on
free loopback ports (under another user when the test is root and the server refuses root), waits until it answers, and
stops it for certain. `settings()` gives the variables that make Pixmill use it."""
