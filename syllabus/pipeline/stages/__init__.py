"""The stages of the job: plan, embed, census, transform, neighbours, regroup, select, order, commit."""
