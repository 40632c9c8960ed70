"""What the performance claims rest on: each module measures rivals side by side in one run, and states the ratio."""
