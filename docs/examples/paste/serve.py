from pathlib import Path

import waitress
from paste.deploy import loadapp

app = loadapp(f"config:{Path(__file__).with_name('magazine.ini')}")
waitress.serve(app, listen="127.0.0.1:8080")
