"""`make bench`: what Shoal itself costs a request."""
