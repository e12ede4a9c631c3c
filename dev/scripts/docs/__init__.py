"""What the documentation's site needs besides its pages."""
