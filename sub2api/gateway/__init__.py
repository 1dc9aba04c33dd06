"""The walk of one call: pipeline, admission, scheduling, attempts, metering."""
