# The tests of protocol/ share trace.c; failmalloc.c stands between them and malloc().
protocol_trace = %D%/trace.c %D%/trace.h %D%/runner.h %D%/failmalloc.c %D%/failmalloc.h
failmalloc_wrap = $(AM_LDFLAGS) -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc

unit_tests += %D%/test_buf %D%/test_params %D%/test_control %D%/test_session \
	%D%/test_session_submit %D%/test_session_credit %D%/test_session_extensions %D%/test_session_lent %D%/test_session_pair %D%/test_lane \
	%D%/test_page %D%/test_page_model %D%/test_page_stress
%C%_test_buf_SOURCES = %D%/test_buf.c $(protocol_trace)
%C%_test_buf_LDFLAGS = $(failmalloc_wrap)
%C%_test_params_SOURCES = %D%/test_params.c $(protocol_trace)
%C%_test_params_LDFLAGS = $(failmalloc_wrap)
%C%_test_control_SOURCES = %D%/test_control.c %D%/runner.h
%C%_test_session_SOURCES = %D%/test_session.c $(protocol_trace)
%C%_test_session_LDFLAGS = $(failmalloc_wrap)
%C%_test_session_submit_SOURCES = %D%/test_session_submit.c $(protocol_trace)
%C%_test_session_submit_LDFLAGS = $(failmalloc_wrap)
%C%_test_session_credit_SOURCES = %D%/test_session_credit.c $(protocol_trace)
%C%_test_session_credit_LDFLAGS = $(failmalloc_wrap)
session_case = %D%/session_case.c %D%/session_case.h $(protocol_trace)
%C%_test_session_extensions_SOURCES = %D%/test_session_extensions.c $(session_case)
%C%_test_session_extensions_LDFLAGS = $(failmalloc_wrap)
%C%_test_session_lent_SOURCES = %D%/test_session_lent.c $(session_case)
%C%_test_session_lent_LDFLAGS = $(failmalloc_wrap)
%C%_test_session_pair_SOURCES = %D%/test_session_pair.c %D%/runner.h
%C%_test_lane_SOURCES = %D%/test_lane.c %D%/runner.h
%C%_test_page_SOURCES = %D%/test_page.c %D%/runner.h
# Its own page.c, of which it calls what is static, too.
%C%_test_page_model_SOURCES = %D%/test_page_model.c %D%/runner.h
%C%_test_page_stress_SOURCES = %D%/test_page_stress.c %D%/runner.h
