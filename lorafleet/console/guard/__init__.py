"""The guard: takes a candidate release back when the numbers say so, whether a pipeline asks or not."""
