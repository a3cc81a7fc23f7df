# The session's tests share trace.c; failmalloc.c stands between them and malloc().
protocol_trace = %D%/trace.c %D%/trace.h %D%/failmalloc.c %D%/failmalloc.h
failmalloc_wrap = $(AM_LDFLAGS) -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc

unit_tests += %D%/test_session
%C%_test_session_SOURCES = %D%/test_session.c $(protocol_trace)
%C%_test_session_LDFLAGS = $(failmalloc_wrap)
