# HTTP: http_case.c runs the tables of requests.
http_case = %D%/http_case.c %D%/http_case.h
unit_tests += \
	%D%/test_http_line \
	%D%/test_http_fields \
	%D%/test_http_body \
	%D%/test_http_response \
	%D%/test_http_words
%C%_test_http_line_SOURCES = %D%/test_http_line.c $(http_case)
%C%_test_http_fields_SOURCES = %D%/test_http_fields.c $(http_case) %D%/failmalloc.c
%C%_test_http_fields_LDFLAGS = $(failmalloc_wrap)
%C%_test_http_response_SOURCES = %D%/test_http_response.c %D%/failmalloc.c
%C%_test_http_response_LDFLAGS = $(failmalloc_wrap)
