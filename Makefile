# One word each; `make` alone prints them.
.DEFAULT_GOAL := help
.PHONY: help setup run dev test check bench bench-peers soak attacks sim fuzz zipapp release lock test-install prices settings-doc test-bare clean

help: ## Print these words
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' Makefile

setup: ## Make .venv with everything that development needs
	@sh tools/setup.sh dev

run: ## Set up what running needs and serve simple mode on 127.0.0.1:8080, with a demo at first (ARGS=...)
	@sh tools/setup.sh run
	@.venv/bin/sub2api serve --demo $(ARGS)

dev: ## The same, restarted whenever the source changes
	@sh tools/setup.sh dev
	@.venv/bin/python tools/dev.py serve --demo $(ARGS)

test: ## Set up, then run the whole suite with its coverage floors
	@sh tools/setup.sh dev
	@sh tools/services.sh
	@sh tools/test.sh

check: ## Format, lint, types, layers and the architecture's own tests
	@sh tools/setup.sh dev
	@sh tools/check.sh

bench: ## Measure the gateway beside nginx and Go; prints the table and the bars (ARGS=...)
	@sh tools/setup.sh dev
	@sh tools/bench_setup.sh
	@.venv/bin/python -m tests.bench.run $(ARGS)

bench-peers: ## The same with LiteLLM's proxy, in an environment of its own
	@sh tools/setup.sh dev
	@sh tools/bench_setup.sh
	@.venv/bin/python -m tests.bench.run --peers $(ARGS)

soak: ## Ten minutes of mixed load on a vendor in a bad mood: does anything grow, do the books agree?
	@sh tools/setup.sh dev
	@.venv/bin/python -m tests.soak $(ARGS)

attacks: ## Slow clients, floods and large bodies: does everybody else notice? (minutes; a quiet machine)
	@sh tools/setup.sh dev
	@.venv/bin/python -m pytest -q tests/attacks $(ARGS)

sim: ## A day of a thousand accounts in virtual time: fair, faithful to caches, nobody refused in vain? (ARGS=...)
	@sh tools/setup.sh dev
	@.venv/bin/python -m tests.sim $(ARGS)

fuzz: ## Fuzz the request side, then the reply side (ARGS="--minutes 15 --seed 1")
	@sh tools/setup.sh dev
	@.venv/bin/python -m tests.fuzz.fuzz_requests $(ARGS)
	@.venv/bin/python -m tests.fuzz.fuzz_streams $(ARGS)

zipapp: ## Build dist/sub2api-VERSION-cpXY-OS_ARCH.pyz
	@sh tools/setup.sh dev
	@.venv/bin/python tools/zipapp.py

release: ## Build and sign dist/releases, for all machines (KEY=private.pem ARGS="--only here")
	@sh tools/setup.sh dev
	@test -f "$(KEY)" || { echo "Say which key signs: make release KEY=private.pem (docs/releasing.md)"; exit 1; }
	@.venv/bin/python tools/release.py --key "$(KEY)" $(ARGS)

lock: ## Write locks/release.txt anew: the hashes of what released files hold
	@sh tools/setup.sh dev
	@sh tools/lock.sh

test-install: ## Install, upgrade, roll back and uninstall two real builds, and what can go wrong (minutes)
	@sh tools/setup.sh dev
	@.venv/bin/python -m pytest -q tests/install $(ARGS)

prices: ## Rebuild sub2api/billing/prices.json from a price table (FROM=path VERSION=... DATE=...)
	@sh tools/setup.sh run
	@.venv/bin/python -m tools.make_prices $(FROM) --version $(VERSION) --date $(DATE)

settings-doc: ## Write docs/settings.md anew from sub2api/settings
	@sh tools/setup.sh run
	@.venv/bin/python -m tools.settings_doc

test-bare: ## As root: try `make run` on a bare Debian 12, as an ordinary user (debootstrap, chroot)
	@sh tools/bare.sh

clean: ## Remove what the other words made
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
