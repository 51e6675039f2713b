# Each of these works on a fresh machine: it installs what is missing first.
#
#   make demo     gateway, sample bot, sample website: http://127.0.0.1:8080/
#   make test     everything: format, lints, tests, documentation
#   make bench    chatgate beside plain pingora, on this machine
#   make lint     format and lints alone
#   make fuzz     every fuzz target for a minute (needs cargo-fuzz, see fuzz/README.md)
#   make check    a quick look while working: does it compile, tests included

CARGO ?= cargo
# Arguments for the demo, for example: make demo DEMO="--authentication-timeout 20s"
DEMO ?=

# Fuzz targets, and for how long each is run.
FUZZ ?= $(sort $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))))
SECONDS_EACH ?= 60

.PHONY: demo test bench lint check fuzz

demo:
	@.ci/setup build
	@$(CARGO) run --locked --profile demo --no-default-features -- demo $(DEMO)

test:
	@.ci/setup build browser node chainlit canaille slapd postgres samples
	@$(MAKE) --no-print-directory lint
	CHATGATE_TEST_BACKENDS=1 CHATGATE_TEST_BROWSER=1 $(CARGO) test --locked
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(CARGO) doc --locked --no-deps --document-private-items

lint:
	@.ci/setup build
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		echo $(CARGO) deny check; $(CARGO) deny check; \
	else \
		echo "cargo deny is not installed: dependency policy not checked"; \
	fi

check:
	@.ci/setup build
	$(CARGO) check --locked --all-targets

bench:
	@.ci/setup build bench
	@$(CARGO) bench --locked

fuzz:
	@.ci/setup build fuzz
	@set -e; for target in $(FUZZ); do \
		echo "fuzzing $$target"; \
		mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(SECONDS_EACH) -max_len=4096 -rss_limit_mb=4096; \
	done
