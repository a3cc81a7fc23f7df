# HTTP: http_case.c runs the tables of requests.
unit_tests += %D%/test_http_line %D%/test_http_fields %D%/test_http_body
%C%_test_http_line_SOURCES = %D%/test_http_line.c %D%/http_case.c %D%/http_case.h
%C%_test_http_fields_SOURCES = %D%/test_http_fields.c %D%/http_case.c %D%/http_case.h
