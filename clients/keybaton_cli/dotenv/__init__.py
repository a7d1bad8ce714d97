"""Reading and writing `.env` files in the dialects of Node's dotenv and of python-dotenv, and other formats of variables."""
