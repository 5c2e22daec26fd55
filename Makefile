# What one types here; `make help` lists it. The work is done by SwiftPM and the scripts in Tools.

# The nearest .swift-format counts: tests may force-unwrap, sources may not.
SWIFT_SOURCES = Sources Tests Package.swift
# The imports are checked by the compiler's own build, so that there is one build and not two.
BUILD = swift build --explicit-target-dependency-import-check error

.DEFAULT_GOAL := help
.PHONY: help run demo test check faults fuzz simulate differential sanitize format build deps clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

run: packages-present ## the daemon in the foreground on deploy/quickstart.cf, state below ./state
	$(BUILD) --product etrnd
	@Tools/run-quickstart

demo: packages-present ## the whole story in one go: a site is away, mail waits, the site asks, mail arrives
	$(BUILD) --product etrnd
	@Tools/demo

test: deps check ## everything: checks, unit tests, end-to-end tests
	@Tools/run-tests

check: packages-present ## format, imports, and a build with warnings as errors
	swift format lint --strict --recursive $(SWIFT_SOURCES)
	@Tools/check-imports
	$(BUILD) --build-tests

faults: packages-present ## kills, bad disks, no descriptors, wrong clocks, bad peers, on the release daemon; FAULTS="--kills N STORY" chooses
	swift build -c release --product etrnd
	@Tools/faults --program "$$(swift build -c release --show-bin-path)/etrnd" $(FAULTS)

fuzz: packages-present ## a minute of libFuzzer for every parser; FUZZ="--target T --seconds N" chooses
	@Tools/fuzz $(FUZZ)

simulate: packages-present ## the core and the spool over a simulated disk and clock; SIMULATE="--seeds A..B", or "--seed N" for its story
	@Tools/simulate $(SIMULATE)

differential: deps ## random domain lists and queues beside a real Postfix, as root; DIFFERENTIAL="--seed N" repeats a run
	$(BUILD) --product etrnd
	@Tools/differential $(DIFFERENTIAL)

sanitize: packages-present ## the unit tests under the address and the thread sanitizer
	@Tools/sanitize $(SANITIZE)

format: ## lay out the Swift sources as `make check` wants them
	swift format --in-place --recursive $(SWIFT_SOURCES)

build: packages-present ## programs and tests, debug
	$(BUILD) --build-tests

deps: ## installs what is missing: Debian packages and the Python test tools
	@Tools/install-deps all

clean: ## removes what was built, and the quick start's state
	rm -rf .build .venv state
	find Tests Tools -name __pycache__ -prune -exec rm -rf {} +

.PHONY: packages-present
packages-present:
	@Tools/install-deps packages
