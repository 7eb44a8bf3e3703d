# Baton: a message queue in PostgreSQL, and the program that goes with it.
#
#	make			builds everything: the extension, program/baton
#	make run		from nothing to a working queue: installs what is missing, builds,
#					installs, and runs the demonstration
#	make check		all tests; `make check-unit`, -regress, -isolation, -tap, -lint: some
#	make bench		measures Baton and its peers; ARGS= goes to bench/run
#	make install	into the system's PostgreSQL, the program into $(prefix)/bin
#	make format		clang-format over all sources
#	make lint		all checks, also those that only list
#	make clean
#
# CONTRIBUTING.md has more.  PG_CONFIG says which PostgreSQL.

PG_CONFIG = $(firstword $(wildcard /usr/lib/postgresql/15/bin/pg_config) pg_config)
prefix = /usr/local
BENCH_STAGE = /var/tmp/baton-bench

SUDO = $(if $(filter-out 0,$(shell id -u)),sudo)
KINDS = lint unit regress isolation tap

all: extension program

extension:
	$(MAKE) -C extension PG_CONFIG=$(PG_CONFIG)

program:
	$(MAKE) -C program PG_CONFIG=$(PG_CONFIG)

# A staged or private place doesn't need root: make install DESTDIR=...
install: all
	$(MAKE) -C extension PG_CONFIG=$(PG_CONFIG) DESTDIR=$(DESTDIR) install
	$(MAKE) -C program PG_CONFIG=$(PG_CONFIG) DESTDIR=$(DESTDIR) PREFIX=$(prefix) install

run:
	@sh tools/deps.sh run
	@echo building
	@$(MAKE) --no-print-directory -s -j2 all
	@echo installing into $$($(PG_CONFIG) --pkglibdir) and $(prefix)/bin
	@$(SUDO) $(MAKE) --no-print-directory -s install PG_CONFIG=$(PG_CONFIG) prefix=$(prefix)
	@PG_CONFIG=$(PG_CONFIG) BATON=$(prefix)/bin/baton sh tools/run.sh

check:
	@PG_CONFIG=$(PG_CONFIG) sh tools/check.sh

$(KINDS:%=check-%):
	@PG_CONFIG=$(PG_CONFIG) sh tools/check.sh $(@:check-%=%)

# Against a copy of PostgreSQL with the release build in it: the system's stays as it is.
bench:
	@sh tools/deps.sh run bench
	@$(MAKE) --no-print-directory -s program
	@bin=$$(PG_CONFIG=$(PG_CONFIG) sh tools/stage.sh $(BENCH_STAGE)) && \
		PG_CONFIG=$$bin/pg_config bench/run $(ARGS)

format:
	@sh tools/deps.sh lint
	@sh tools/check-format.sh --fix

lint:
	@sh tools/deps.sh lint check
	@PG_CONFIG=$(PG_CONFIG) sh tools/lint.sh

clean:
	-$(MAKE) -C extension PG_CONFIG=$(PG_CONFIG) clean
	-$(MAKE) -C program clean
	rm -rf build

.PHONY: all extension program install run check $(KINDS:%=check-%) bench format lint clean
