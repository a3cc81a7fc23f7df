cgi_failmalloc = %D%/failmalloc.c %D%/failmalloc.h

unit_tests += %D%/test_cgi_response
%C%_test_cgi_response_SOURCES = %D%/test_cgi_response.c $(cgi_failmalloc)
%C%_test_cgi_response_LDFLAGS = $(failmalloc_wrap)

unit_tests += %D%/test_pace %D%/test_heap %D%/test_spool
%C%_test_spool_SOURCES = %D%/test_spool.c $(cgi_failmalloc)
%C%_test_spool_LDFLAGS = $(failmalloc_wrap)

unit_tests += %D%/test_access_log
%C%_test_access_log_SOURCES = %D%/test_access_log.c $(cgi_failmalloc)
%C%_test_access_log_LDFLAGS = $(failmalloc_wrap)

unit_tests += %D%/test_cgi_params
%C%_test_cgi_params_SOURCES = %D%/test_cgi_params.c $(cgi_failmalloc)
%C%_test_cgi_params_LDFLAGS = $(failmalloc_wrap)

unit_tests += %D%/test_forwarded
%C%_test_forwarded_SOURCES = %D%/test_forwarded.c $(cgi_failmalloc)
%C%_test_forwarded_LDFLAGS = $(failmalloc_wrap)

unit_tests += %D%/test_path %D%/test_route
%C%_test_route_SOURCES = %D%/test_route.c $(cgi_failmalloc)
%C%_test_route_LDFLAGS = $(failmalloc_wrap)

unit_tests += %D%/test_script
%C%_test_script_SOURCES = %D%/test_script.c $(cgi_failmalloc)
%C%_test_script_LDFLAGS = $(failmalloc_wrap)

unit_tests += %D%/test_remote
