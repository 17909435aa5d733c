"""Traces and metrics for an OpenTelemetry collector; off unless the standard variables ask for them."""
