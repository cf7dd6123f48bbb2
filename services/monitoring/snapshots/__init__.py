"""Daily snapshots, and resources that the host application reports."""
