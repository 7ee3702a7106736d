"""The command line: options in, one library call, something to look at out. It knows no store and no file."""
