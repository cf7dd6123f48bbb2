"""What operators see of a worker: metrics, traces and logs."""
