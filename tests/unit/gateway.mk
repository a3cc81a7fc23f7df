unit_tests += %D%/test_log %D%/test_log_writer
