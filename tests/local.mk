# make check: unit tests (tests/unit, one program for each subject) and fuzz corpora (tests/fuzz).
# make installcheck: the system tests (tests/system), which drive the installed tree.
LOG_COMPILER = $(SHELL) $(top_srcdir)/%D%/run
TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = $(SHELL)
TESTS += %D%/includes.sh
EXTRA_DIST += %D%/run %D%/includes.sh

# A unit test is NAME.c and its name in unit_tests, a fuzz target the same in fuzz_targets: every
# library of ours is offered to the linker, which takes the objects that are called. replay has
# the main() of the fuzz targets.
AM_DEFAULT_SOURCE_EXT = .c
check_LTLIBRARIES += %D%/fuzz/libpst-replay.la
%C%_fuzz_libpst_replay_la_SOURCES = %D%/fuzz/replay.c
LDADD = \
	%D%/fuzz/libpst-replay.la \
	%D%/fuzz/libpst-fuzz.la \
	gateway/ctl/libpst-ctl.la \
	gateway/arbiter/libpst-arbiter.la \
	gateway/front/libpst-websocket.la \
	gateway/front/libpst-front.la \
	gateway/libpst-gateway.la \
	adapters/libpst-adapter.la \
	protocol/libpst-protocol.la \
	$(CHECK_LIBS) $(LIBEVENT_LIBS) $(CJSON_LIBS)

unit_tests =
fuzz_targets =
if HAVE_CHECK
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif
check_PROGRAMS += $(fuzz_targets)
TESTS += $(fuzz_targets)

include tests/unit/protocol.mk
include tests/unit/gateway.mk
include tests/unit/http.mk
include tests/unit/websocket.mk
include tests/unit/cgi.mk
include tests/unit/arbiter.mk
include tests/unit/adapters.mk
include tests/unit/python.mk
include tests/fuzz/local.mk
include tests/peer/local.mk
include tests/system/local.mk
include tests/bench/local.mk

# automake hides what a test prints in its .log; a run shows how much was tested.
check-local: check-TESTS $(check_needs)
	@$(SHELL) $(top_srcdir)/%D%/summary $(TEST_LOGS)
EXTRA_DIST += %D%/summary

check_needs =
if !HAVE_CHECK
check_needs += check-is-missing
endif
check-is-missing:
	@echo "make check: the unit tests need libcheck: apt install check, then configure again" >&2
	@exit 1
PHONY_TARGETS += check-is-missing
