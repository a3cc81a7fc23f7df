unit_tests += %D%/test_body %D%/test_fields %D%/test_head %D%/test_held %D%/test_adapter %D%/test_piece %D%/test_request %D%/test_threaded
%C%_test_request_SOURCES = %D%/test_request.c %D%/failmalloc.c %D%/failmalloc.h
%C%_test_request_LDFLAGS = $(failmalloc_wrap)

unit_tests += %D%/test_async
%C%_test_async_SOURCES = %D%/test_async.c %D%/async_case.c %D%/async_case.h %D%/runner.h
%C%_test_async_LDADD = $(async_libs) $(CHECK_LIBS)
