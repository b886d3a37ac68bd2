"""What launcher.py is made of, in parts; standard library only, as nothing is installed yet."""
