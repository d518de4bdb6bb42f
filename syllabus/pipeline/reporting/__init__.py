"""What people are shown: a job's progress and summary, a manifest described."""
