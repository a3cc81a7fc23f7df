# unit_tests += %D%/test_NAME (its source is test_NAME.c)
