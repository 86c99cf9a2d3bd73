"""The ground floor: settings, files written whole, what is read without being trusted, environment and backend."""
