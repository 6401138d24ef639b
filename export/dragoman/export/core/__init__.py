"""What all of export speaks of: checkpoints, errors, reasons."""
