"""Mail catcher of the sandbox: a real SMTP server that delivers nothing, with a page and a JSON API."""
