# Programs on the session alone, which tests/system/test_protocol_peers.py brings together with
# real FastCGI peers; libfcgi is one of those peers.
peer_programs = %D%/responder %D%/requester %D%/libfcgi
check_PROGRAMS += $(peer_programs)
%C%_responder_SOURCES = %D%/responder.c %D%/stream.c %D%/stream.h
%C%_requester_SOURCES = %D%/requester.c %D%/stream.c %D%/stream.h
%C%_responder_LDADD = protocol/libpst-protocol.la
%C%_requester_LDADD = protocol/libpst-protocol.la
%C%_libfcgi_SOURCES = %D%/libfcgi.c
%C%_libfcgi_LDADD = $(FASTCGI_LIBS)
