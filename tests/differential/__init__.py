"""The same requests to our systems and to the same systems built plainly on stock Connexion; the answers agree."""
