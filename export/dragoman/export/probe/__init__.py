"""What a bundle's model copies, found by trying: it translates texts with forms in them, and says what came back."""
