"""The figures of `make bench`: each measured side by side with what it is compared to, in one run."""
