"""What the gateway can tell about itself."""
