"""What is agreed: agreements and code lists as data, and the models that read them."""
