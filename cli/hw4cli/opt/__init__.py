"""The command line `hw4opt`."""
