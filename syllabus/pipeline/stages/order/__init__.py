"""Order: herding orders of subsets and of all data."""
