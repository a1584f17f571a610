"""What is simulated: the machine, its run state, clocks, memory, devices and saved state."""
