# unit_tests += %D%/test_NAME (its source is test_NAME.c)
unit_tests += \
	%D%/test_address \
	%D%/test_channel \
	%D%/test_conf \
	%D%/test_conf_file \
	%D%/test_ctl_report \
	%D%/test_ctl_socket \
	%D%/test_output \
	%D%/test_share \
	%D%/test_slot \
	%D%/test_sources \
	%D%/test_spawn \
	%D%/test_unlisten

%C%_test_channel_SOURCES = %D%/test_channel.c %D%/failmalloc.c %D%/failmalloc.h
%C%_test_channel_LDFLAGS = $(failmalloc_wrap)

%C%_test_ctl_report_SOURCES = %D%/test_ctl_report.c %D%/failmalloc.c %D%/failmalloc.h
%C%_test_ctl_report_LDFLAGS = $(failmalloc_wrap)
%C%_test_conf_file_SOURCES = %D%/test_conf_file.c %D%/failmalloc.c %D%/failmalloc.h
%C%_test_conf_file_LDFLAGS = $(failmalloc_wrap)
