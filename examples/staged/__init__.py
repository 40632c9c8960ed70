"""What the examples of sound and of video share: all that does not depend on the kind of data."""
