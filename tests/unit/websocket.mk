unit_tests += %D%/test_websocket %D%/test_websocket_words
unit_tests += %D%/test_websocket_memory
%C%_test_websocket_memory_SOURCES = %D%/test_websocket_memory.c %D%/failmalloc.c %D%/failmalloc.h
%C%_test_websocket_memory_LDFLAGS = $(failmalloc_wrap)
