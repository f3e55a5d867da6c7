"""What a result was made with: the state of git, and what DVC declares and records of stages."""
