"""Reports for people: messages of a job, the description of a manifest."""
