"""What came from what: which data made a version, which versions saw a file, and whether that can be proven."""
