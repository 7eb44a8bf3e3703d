"""What every scenario needs: a private cluster, slices, rounds, numbers, a report."""
