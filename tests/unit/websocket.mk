unit_tests += %D%/test_websocket %D%/test_websocket_words
