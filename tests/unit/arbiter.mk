# unit_tests += %D%/test_NAME (its source is test_NAME.c)
unit_tests += \
	%D%/test_address \
	%D%/test_channel \
	%D%/test_conf \
	%D%/test_output \
	%D%/test_slot \
	%D%/test_spawn
