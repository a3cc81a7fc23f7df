unit_tests += %D%/test_head %D%/test_adapter %D%/test_piece %D%/test_request
%C%_test_request_SOURCES = %D%/test_request.c %D%/failmalloc.c %D%/failmalloc.h
%C%_test_request_LDFLAGS = $(failmalloc_wrap)
