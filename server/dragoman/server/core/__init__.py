"""The values and protocols that both towers share."""
