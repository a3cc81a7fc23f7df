# The session's tests share trace.c; failmalloc.c stands between them and malloc().
protocol_trace = %D%/trace.c %D%/trace.h %D%/failmalloc.c
protocol_wrap = $(AM_LDFLAGS) -Wl,--wrap=malloc -Wl,--wrap=calloc

unit_tests += %D%/test_session
%C%_test_session_SOURCES = %D%/test_session.c $(protocol_trace)
%C%_test_session_LDFLAGS = $(protocol_wrap)
