"""Programs for operators: provisioning, the audit, the replay of the feed, and the service canvases."""
