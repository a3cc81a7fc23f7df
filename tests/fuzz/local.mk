# A fuzz target is fuzz_NAME.c, which defines LLVMFuzzerTestOneInput(). Its corpus is corpus/NAME/
# (at least one file), its dictionary, if it has one, NAME.dict. `make check` replays the corpora;
# with --enable-fuzzing `make fuzzers` links each with libFuzzer, too: tests/fuzz/fuzz_NAME.fuzzer.
# fuzz_targets += %D%/fuzz_NAME
fuzz_targets += \
	%D%/fuzz_http_body \
	%D%/fuzz_http_request \
	%D%/fuzz_http_response \
	%D%/fuzz_http_target
EXTRA_DIST += %D%/http_check.h %D%/run
fuzz_targets += %D%/fuzz_session_server %D%/fuzz_session_client %D%/fuzz_params %D%/fuzz_control

# What several targets share.
check_LTLIBRARIES += %D%/libpst-fuzz.la
%C%_libpst_fuzz_la_SOURCES = %D%/session_digest.c %D%/session_digest.h

fuzz_targets += \
	%D%/fuzz_access_log \
	%D%/fuzz_cgi_response \
	%D%/fuzz_conf_file \
	%D%/fuzz_forwarded \
	%D%/fuzz_websocket \
	%D%/fuzz_websocket_terms

EXTRA_DIST += $(fuzz_targets:tests/fuzz/fuzz_%=$(srcdir)/tests/fuzz/corpus/%) \
	$(wildcard $(srcdir)/tests/fuzz/*.dict)

if FUZZING
fuzzers: $(fuzz_targets:%=%.fuzzer)
%.fuzzer: %.$(OBJEXT) $(filter %.la,$(LDADD))
	$(AM_V_CCLD)$(LINK) $(PST_FUZZ_LDFLAGS) $< $(filter-out %/libpst-replay.la,$(LDADD))
all-local: fuzzers
CLEANFILES += $(fuzz_targets:%=%.fuzzer)
endif
PHONY_TARGETS += fuzzers
