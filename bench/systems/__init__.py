"""What is compared: a module for each system, in the same words."""
