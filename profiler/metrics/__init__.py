"""What is measured: metrics, intervals, totals, the reduction, and the shape of the summary."""
