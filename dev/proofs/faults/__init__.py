"""Run every way of waiting under every fault, over real sockets, and check that each task ends as specified."""
