"""What really happened: money, energy and carbon, in integers."""
