unit_tests += %D%/test_head %D%/test_adapter
