"""The command line `hw4nets`."""
