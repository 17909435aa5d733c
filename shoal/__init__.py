"""The command line that opens the door to experts, router and eval."""
