# What the arbiter and the gateway process share: addresses, the error log.
noinst_LTLIBRARIES += %D%/libpst-gateway.la
%C%_libpst_gateway_la_SOURCES = \
	%D%/address.c \
	%D%/address.h \
	%D%/board.c \
	%D%/board.h \
	%D%/escape.c \
	%D%/escape.h \
	%D%/hash.h \
	%D%/log.c \
	%D%/log.h \
	%D%/log_writer.c \
	%D%/log_writer.h \
	%D%/report.c \
	%D%/report.h \
	%D%/status_line.c \
	%D%/status_line.h

# The arbiter.
bin_PROGRAMS += %D%/penstock
%C%_penstock_SOURCES = %D%/main.c %D%/import_gunicorn.c %D%/import_gunicorn.h
%C%_penstock_LDFLAGS = $(program_ldflags)
dist_pkgdata_DATA = %D%/import_gunicorn.py
%C%_penstock_LDADD = \
	%D%/ctl/libpst-ctl.la \
	%D%/arbiter/libpst-arbiter.la \
	%D%/front/libpst-front.la \
	%D%/libpst-gateway.la \
	protocol/libpst-protocol.la \
	$(LIBEVENT_LIBS) $(CJSON_LIBS)
