# Few verbs; each is a line of the README.
.PHONY: setup serve check lint test

setup: .venv/bin/presenter

.venv/bin/presenter:
	python3 -m venv .venv
	.venv/bin/pip install -e .

serve: setup
	.venv/bin/presenter serve

check:  # set-up, lint, types and every test
	sh tests/run

lint:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

test:
	.venv/bin/python -m pytest -m "not slow"
