# The gateway's parts that do no I/O, so that unit tests and fuzz targets can link them: http,
# cgi, spool, access_log ...
noinst_LTLIBRARIES += %D%/libpst-front.la
%C%_libpst_front_la_SOURCES =

# The gateway process, $(pkglibexecdir)/gateway: the parts that know libevent.
pkglibexec_PROGRAMS += %D%/gateway
%C%_gateway_SOURCES = %D%/main.c
%C%_gateway_LDADD = \
	%D%/libpst-front.la \
	gateway/libpst-gateway.la \
	protocol/libpst-protocol.la \
	$(LIBEVENT_LIBS)
